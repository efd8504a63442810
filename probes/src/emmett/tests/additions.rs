//! Additions of jitterbug to the language, and features of `VProbes` that later dialects lacked.

use super::*;
use crate::testing::load_for;

fn with(text: &str, options: &Options) -> Vec<String> {
    let mut bench = Bench::new(&load_source("t.emt", text, options));
    bench.run(SECOND);
    bench.session.finish();
    bench.script_lines()
}

fn set(list: &[(&str, &str)]) -> Options {
    let parameters = list.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Options { parameters: parameters.collect(), ..Options::default() }
}

/// VMware's cookbook counts in this way.
#[test]
fn an_aggregate_without_keys_is_counted_by_its_name() {
    let lines = prints("aggr nulla[0][0]; VMM10Hz { nulla++; } VMMUnload { logaggr(nulla); }");
    let expected = "  nulla[] == avg 1 count 10 min 1 max 1 latest 1";
    assert_eq!(lines, ["aggr: nulla (0 integer keys) (0 string keys)", expected]);
    let lines = prints(
        "aggr a; VMMLoad { a <- 3; a = 5; printf(\"%d %d %d\\n\", a, count(a), max(a)); clearaggr(a); }",
    );
    assert_eq!(lines, ["8 2 5"]);
}

#[test]
fn comparisons_that_cannot_hold_get_a_warning() {
    let warnings = |name: &str, text: &str| -> Vec<String> {
        let script = load_source(name, text, &Options::default());
        script.warnings().iter().map(|warning| warning.message.clone()).collect()
    };
    for (name, text, message) in [
        ("t.emt", "VMM1Hz /RAX < 0/ { exit(); }", "never"),
        ("t.emt", "VMM1Hz /0 > RAX/ { exit(); }", "never"),
        ("t.emt", "VMM1Hz { for (n = 9; n >= 0; n--) ; }", "always"),
        ("t.emt", "VMM1Hz /RAX > -1/ { exit(); }", "never"),
        ("t.emt", "VMM1Hz / *(char *)RSP == 300/ { exit(); }", "never"),
        ("t.vp", "(vprobe VMM1Hz / (< RAX 0) / (exit))", "never"),
    ] {
        let found = warnings(name, text);
        let expected = format!("this comparison {message} holds: integers are unsigned");
        assert_eq!(found, [expected], "{text}");
    }
    for text in [
        "VMM1Hz /RAX > 0/ { exit(); }",
        "VMM1Hz /RAX != 0/ { exit(); }",
        "VMM1Hz /RAX == -1/ { exit(); }",
        "VMM1Hz / *(char *)RSP == 255/ { exit(); }",
    ] {
        assert!(warnings("t.emt", text).is_empty(), "{text}");
    }
}

#[test]
fn an_integer_can_be_one_for_all_vcpus() {
    let text =
        "pervm int n = 5; VMM1Hz { n += 2; x = n++; printf(\"%d %d\\n\", x, n); n = 1; n <<= 3; }
        VMMUnload { printf(\"%d %d\\n\", n, --n); }";
    assert_eq!(prints(text), ["7 8", "8 7"]);
    let (_, notices) = run("pervm int n = 5; VMM1Hz { n /= 0; }");
    assert!(notices[0].contains("division by zero"), "{notices:?}");
}

/// Each vCPU has a thread, and no update of any thread is lost.
#[test]
fn vcpus_do_not_lose_each_others_updates() {
    const EACH: u64 = 20_000;
    let script = load_emmett("pervm int n; In { n++; } VMXUnload { printf(\"%d\\n\", n); }");
    let (sender, lines) = std::sync::mpsc::channel();
    let callback = move |line: crate::OutputLine| drop(sender.send(line.text().into_owned()));
    let output = crate::Output::to_callback(callback, None).expect("a thread");
    let session = crate::Session::new(&script, output.sink());
    let read = vmm::exit::Exit::PortRead { port: 0x3fd, size: 1, count: 1 };
    let fire = &|vcpu| {
        let mut hook = vmm::hook::Attach::attach(&session, vcpu, 2);
        let (memory, mut cpu) = crate::testing::hung_guest();
        for _ in 0..EACH {
            hook.exit(&mut crate::testing::context(&mut cpu, &memory, SECOND), &read);
        }
        hook
    };
    let mut hook = std::thread::scope(|scope| {
        let threads = [0, 1].map(|vcpu| scope.spawn(move || fire(vcpu)));
        let hooks = threads.map(|thread| thread.join().expect("a thread"));
        let [first, _] = hooks;
        first
    });
    let (memory, mut cpu) = crate::testing::hung_guest();
    hook.stop(&mut crate::testing::context(&mut cpu, &memory, SECOND));
    drop((hook, session));
    output.finish().expect("a callback can't fail");
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), [(2 * EACH).to_string()]);
}

#[test]
fn what_a_script_defines_can_be_set() {
    let text =
        "#define LIMIT 5\n const int N = 6; int n = 7; pervm int shared = 8; string s = \"a\";
        VMMLoad { printf(\"%d %d %d %d %s\\n\", LIMIT, N, n, shared, s); }";
    assert_eq!(with(text, &Options::default()), ["5 6 7 8 a"]);
    let all = [("LIMIT", "2 + 3 * 2"), ("N", "0x10"), ("n", "-1"), ("shared", "1"), ("s", "b c")];
    assert_eq!(with(text, &set(&all)), ["8 16 -1 1 b c"]);
    // A script can test whether a macro that the user sets is defined.
    let text = "#ifndef N\n#define N 1\n#endif\nVMMLoad { printf(\"%d\\n\", N); }";
    assert_eq!(with(text, &set(&[("N", "4")])), ["4"]);
    assert_eq!(
        with("#ifdef D\nVMMLoad printf(\"d\\n\");\n#endif\nVMM1Hz {}", &set(&[("D", "")])),
        ["d"]
    );
    let text = "(definteger n 5) (defstring s) (vprobe VMMLoad (printf \"%d %s\\n\" n s))";
    let options = set(&[("n", "6"), ("s", "text")]);
    let mut bench = Bench::new(&load_for(text, &options));
    bench.run(SECOND);
    assert_eq!(bench.script_lines(), ["6 text"]);
}

#[test]
fn a_point_can_have_a_macro_in_it() {
    let options = |list| Options {
        symbols: Some(tsc_sync_symbols()),
        mechanisms: crate::point::Mechanisms::all(),
        ..set(list)
    };
    let text = "#define WAITS tsc_sync_master\nGUEST:ENTER:WAITS { printf(\"x\\n\"); }";
    for (list, start) in [
        (&[][..], tsc_sync_symbols().address("tsc_sync_master")),
        (&[("WAITS", "mp_start")][..], tsc_sync_symbols().address("mp_start")),
        (&[("WAITS", "0xfffffffffb800000")][..], Some(0xffff_ffff_fb80_0000)),
    ] {
        let script = load_source("t.emt", text, &options(list));
        let points: Vec<_> = script.probes().map(|(point, _)| point).collect();
        let crate::point::Point::Address(address) = points[0] else { panic!("{points:?}") };
        assert_eq!(Some(address.start), start, "{list:?}");
    }
}

#[test]
fn what_cannot_be_set_is_refused_by_name() {
    let refused = |text: &str, list: &[(&str, &str)]| -> String {
        let source = Source::new("t.emt", text);
        Script::load(&[source], &set(list)).expect_err(text).to_string()
    };
    let text = "#define F(x) x\nint number; string s; VMMLoad { int inner; exit(); }";
    for (name, value, problem) in [
        ("nubmer", "1", "did you mean number?"),
        ("inner", "1", "--set inner: no script has a macro"),
        ("number", "x", "--set number=x: number is an integer"),
        ("number", "", "--set number=: number is an integer"),
        ("F", "1", "--set F: this macro has parameters"),
        ("s", &"x".repeat(256), "at most 255 bytes"),
    ] {
        let error = refused(text, &[(name, value)]);
        assert!(error.contains(problem), "{name}={value}: {error}");
    }
    let error = refused("#define N 1\nVMMLoad { x = N; }", &[("N", "\"x")]);
    assert!(error.contains("this is no value"), "{error}");
}

#[test]
fn time_since_the_start_is_a_variable() {
    assert_eq!(prints("VMM1Hz printf(\"%d\\n\", elapsed);"), ["1000000000"]);
    // A script may use this name for its own variable.
    assert_eq!(prints("VMM1Hz { elapsed = 5; printf(\"%d\\n\", elapsed); }"), ["5"]);
    assert_eq!(prints("int elapsed; VMM1Hz printf(\"%d\\n\", elapsed);"), ["0"]);
}

#[test]
fn lines_can_have_their_time() {
    let options = Options { timestamps: true, ..Options::default() };
    let text = "VMM10Hz /elapsed < 300000000/ { printf(\"a\\nb \"); printf(\"c\\n\"); }";
    let lines = with(text, &options);
    let expected = [
        "0.100000 vCPU 1] a",
        "0.100000 vCPU 1] b c",
        "0.200000 vCPU 1] a",
        "0.200000 vCPU 1] b c",
    ];
    assert_eq!(lines, expected.map(|line| format!("[    {line}")));
}
