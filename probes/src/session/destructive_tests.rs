//! Destructive actions of scripts: in both languages, within their limits, counted, and refused
//! without `--destructive`.

use std::time::Duration;

use vmm::exit::Exit;
use vmm::hook::HookActions;
use vmm::registers::Register;

use crate::destructive::DestructiveAction;
use crate::engine::Changes;
use crate::point::Mechanisms;
use crate::testing::{Bench, KERNEL, load_source};
use crate::{LineKind, Options, Script, Source};

const SECOND: Duration = Duration::from_secs(1);

fn options() -> Options {
    Options { destructive: true, seed: 7, ..Options::default() }
}

/// A script in each language whose only probe is at port writes. The calls are given in VP's form.
fn both(calls: &[(&str, &[&str])]) -> [(&'static str, String); 2] {
    let vp: Vec<_> = calls.iter().map(|(f, a)| format!("({f} {})", a.join(" "))).collect();
    let emmett: Vec<_> = calls.iter().map(|(f, a)| format!("{f}({});", a.join(", "))).collect();
    [
        ("test.vp", format!("(vprobe Out {})", vp.join(" "))),
        ("test.emt", format!("Out {{ {} }}", emmett.join(" "))),
    ]
}

fn write(bench: &mut Bench, now: Duration) {
    let exit = Exit::PortWrite { port: 0x80, size: 1, data: [1].as_slice().into() };
    bench.with(now, |hook, context| {
        hook.exit(context, &exit);
    });
}

/// Fires once in each language; returns the requested actions, the counts and the notices.
fn once(calls: &[(&str, &[&str])]) -> (HookActions, Changes, String, Bench) {
    let [first, second] = both(calls).map(|(name, text)| {
        let script = load_source(name, &text, &options());
        assert!(script.is_destructive());
        let mut bench = Bench::new(&script);
        write(&mut bench, SECOND);
        let wanted = std::mem::take(&mut bench.actions);
        (wanted, bench.session.changes(), bench)
    });
    assert_eq!((&first.0, &first.1), (&second.0, &second.1), "both languages do the same");
    let notices = |bench: Bench| {
        let lines = bench.finish().into_iter().filter(|line| line.kind == LineKind::Notice);
        lines.map(|line| line.text().into_owned()).collect::<Vec<_>>().join("\n")
    };
    (first.0, first.1, notices(second.2), first.2)
}

fn wanted(wants: impl FnOnce(&mut HookActions)) -> HookActions {
    let mut actions = HookActions::default();
    wants(&mut actions);
    actions
}

#[test]
fn each_function_asks_for_what_it_is_for() {
    let (asked, changes, ..) = once(&[
        ("delayus", &["150"]),
        ("injectnmi", &[]),
        ("injectnmi", &["0"]),
        ("setreg", &["REG_RCX", "0x11"]),
        ("setreg", &["REG_RFLAGS", "2"]),
        ("setreg", &["REG_RIP", "0xffffffff80000000"]),
        ("stopvm", &["3"]),
        ("suspendvm", &[]),
        ("dump", &["\"a.core\""]),
    ]);
    let expected = wanted(|w| {
        w.hold(Duration::from_micros(150));
        w.nmi(1);
        w.nmi(0);
        w.set_register(Register::Rcx, 0x11);
        w.set_register(Register::Rflags, 2);
        w.set_register(Register::Rip, 0xffff_ffff_8000_0000);
        w.stop(3);
        w.suspend();
        w.dump("a.core".into());
    });
    assert_eq!(asked, expected);
    let text = changes.to_string();
    assert_eq!(text, "delayus 1 (0.150 ms), injectnmi 2, setreg 3, stopvm 1, suspendvm 1, dump 1");
    assert_eq!(changes.total(), 9);
    assert_eq!(once(&[("stopvm", &[])]).0, wanted(|w| w.stop(0)));
}

#[test]
fn memory_is_written_by_address_of_either_kind_and_in_any_size() {
    let address = KERNEL + 0x1000;
    let virt = format!("{address:#x}");
    let (asked, changes, notices, bench) = once(&[
        ("poke", &[&virt, "0x1122334455667788"]),
        ("poke", &[&virt, "0xaabb", "2"]),
        // Across a page boundary.
        ("poke", &["0xfffffffffb801ffd", "0x0102030405060708", "8"]),
        ("pokephys", &["0x300000", "0x55", "1"]),
    ]);
    assert_eq!((asked, changes.pokes, notices.as_str()), (HookActions::default(), 4, ""));
    let read = |at: u64| bench.memory.read_u64(at).unwrap();
    assert_eq!(read(0x20_1000), 0x1122_3344_5566_aabb);
    assert_eq!(read(0x20_1ffd), 0x0102_0304_0506_0708);
    assert_eq!(read(0x30_0000), 0x55);
}

#[test]
fn what_can_not_be_done_cancels_the_firing_and_is_not_counted() {
    for (call, arguments, problem) in [
        ("injectnmi", &["2"][..], "injectnmi: 0x2 is no vCPU of this machine"),
        ("setreg", &["18", "0"], "there is no register number 18"),
        ("setreg", &["REG_RIP", "0x800000000000"], "no canonical address"),
        ("setreg", &["REG_RFLAGS", "0x20000"], "more than the flags"),
        ("poke", &["0x1000", "1"], "guest address 0x1000 can't be read"),
        // The second page is not mapped, so nothing is written.
        ("poke", &["0xfffffffffb9ffffd", "1"], "guest address 0xfffffffffba00000 can't be read"),
        ("poke", &["0xfffffffffb800000", "1", "9"], "0x9 is no number of bytes from 1 to 8"),
        ("poke", &["0xfffffffffb800000", "1", "0"], "0x0 is no number of bytes from 1 to 8"),
        ("pokephys", &["0x400000", "1"], "there is no RAM"),
        ("pokephys", &["0xffffffffffffffff", "1"], "there is no RAM"),
        ("delayus", &["2", "1"], "delayus: 0x2 is above the most"),
        ("dump", &["\"\""], "a name that no file has"),
        ("dump", &["\"-\""], "a dump needs a file, not standard output"),
    ] {
        let (asked, changes, notices, bench) = once(&[(call, arguments)]);
        assert!(notices.contains(problem), "{call}: {notices}");
        assert_eq!((asked, changes.total()), (HookActions::default(), 0), "{call}");
        assert_eq!(bench.session.counts()[0].cancelled, 1, "{call}");
        assert_eq!(bench.memory.read_u64(0x3f_fff8).unwrap(), 0, "{call}");
    }
}

#[test]
fn when_the_run_is_over_nothing_can_be_changed() {
    let script = load_source("a.vp", "(vprobe VMMUnload (pokephys 0x300000 1))", &options());
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(
        (bench.session.changes().total(), bench.memory.read_u64(0x30_0000).unwrap()),
        (0, 0)
    );
    let lines = bench.finish();
    assert!(lines[0].text().contains("the run is over"), "{}", lines[0].text());
}

#[test]
fn a_register_that_was_set_reads_so_until_the_firing_ends() {
    let text = "Out { setreg(REG_RAX, 7); printf(\"%d %d\\n\", RAX, getgpr(REG_RAX)); }";
    let mut bench = Bench::new(&load_source("a.emt", text, &options()));
    write(&mut bench, SECOND);
    assert_eq!(bench.script_lines(), ["7 7"]);
}

#[test]
fn delays_are_drawn_from_the_seed_and_the_vcpu() {
    let script = load_source("a.emt", "Out { delayus(100, 200); }", &options());
    let lengths = |script: &Script| -> Vec<HookActions> {
        let mut bench = Bench::new(script);
        let fire = |now| {
            write(&mut bench, SECOND * now);
            std::mem::take(&mut bench.actions)
        };
        (0..10).map(fire).collect()
    };
    let (first, again, other) = (lengths(&script), lengths(&script), lengths(&script.seeded(8)));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let allowed: Vec<_> =
        (100..=200).map(|us| wanted(|w| w.hold(Duration::from_micros(us)))).collect();
    assert!(first.iter().chain(&other).all(|asked| allowed.contains(asked)), "{first:?}");
}

#[test]
fn a_vcpu_is_delayed_half_of_a_second_at_most() {
    let mut bench = Bench::new(&load_source("a.emt", "Out { delayus(200000); }", &options()));
    let mut lengths = Vec::new();
    for ms in [0, 300, 600, 900, 1100] {
        write(&mut bench, Duration::from_millis(ms));
        lengths.push(std::mem::take(&mut bench.actions));
    }
    let hold = |ms| wanted(|w| w.hold(Duration::from_millis(ms)));
    // The third delay gets what is left of the limit, the fourth nothing; then a new second begins.
    assert_eq!(lengths, [hold(200), hold(200), hold(100), hold(0), hold(200)]);
    let changes = bench.session.changes();
    assert_eq!((changes.delays, changes.delay_microseconds), (4, 700_000));
    assert_eq!((changes.cut_delays, changes.cut_microseconds), (2, 300_000));
    let told = "delayus 4 (700.000 ms; 2 over 500 ms a second: 300.000 ms not done)";
    assert_eq!(changes.to_string(), told);
}

#[test]
fn so_many_dumps_are_written_and_no_more() {
    let text =
        "Out { for (int n = 0; n < 20; n++) written += dump(\"x\"); printf(\"%d\\n\", written); }";
    let mut bench = Bench::new(&load_source("a.emt", text, &options()));
    write(&mut bench, SECOND);
    let changes = bench.session.changes();
    assert_eq!((changes.dumps, changes.cut_dumps), (16, 4));
    assert!(changes.to_string().contains("4 dumps more than 16 not written"));
    assert_eq!(bench.script_lines(), ["16"]);
}

#[test]
fn probes_of_no_vcpu_can_not_act_on_one() {
    for call in ["(delayus 1)", "(setreg REG_RAX 1)", "(injectnmi)", "(poke 0 1)"] {
        let script = load_source("a.vp", &format!("(vprobe VMX1Hz {call})"), &options());
        let mut bench = Bench::new(&script);
        bench.hook = vmm::hook::Attach::attach(&bench.session, 0, 2);
        bench.run(SECOND);
        assert_eq!(bench.session.counts()[0].cancelled, 1, "{call}");
        assert_eq!(bench.session.changes().total(), 0, "{call}");
    }
}

/// A call of each function, with valid arguments.
fn example(action: DestructiveAction) -> (&'static str, &'static [&'static str]) {
    let arguments: &[&str] = match action {
        DestructiveAction::Delay => &["1", "2"],
        DestructiveAction::Nmi | DestructiveAction::Stop | DestructiveAction::Suspend => &[],
        DestructiveAction::SetRegister => &["REG_RAX", "0"],
        DestructiveAction::Poke(_) => &["0", "0", "1"],
        DestructiveAction::Dump => &["\"file\""],
    };
    (action.name(), arguments)
}

#[test]
fn without_the_option_each_is_refused_by_name_with_the_option() {
    for action in DestructiveAction::ALL {
        for (name, text) in both(&[example(action)]) {
            let source = [Source::new(name, text)];
            let refused = Script::load(&source, &Options::default()).unwrap_err().to_string();
            assert!(
                refused.contains(action.name()) && refused.contains("--destructive"),
                "{refused}"
            );
            assert!(Script::load(&source, &options()).is_ok(), "{action:?}");
        }
    }
}

#[test]
fn a_run_that_was_recorded_can_be_dumped_and_not_changed() {
    let mechanisms = Mechanisms::all().difference(Mechanisms::CHANGES);
    for destructive in [false, true] {
        for action in DestructiveAction::ALL {
            for (name, text) in both(&[example(action)]) {
                let options = Options { mechanisms, destructive, ..Options::default() };
                let loaded = Script::load(&[Source::new(name, text)], &options);
                match loaded {
                    Ok(_) => {
                        assert!(destructive && action == DestructiveAction::Dump, "{action:?}");
                    }
                    Err(refused) if action == DestructiveAction::Dump => {
                        assert!(!destructive, "{refused}");
                    }
                    Err(refused) => {
                        let text = refused.to_string();
                        assert!(text.contains("a recorded run that a script changes"), "{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn wrong_arguments_are_told() {
    for (text, problem) in [
        ("(vprobe Out (delayus))", "microseconds"),
        ("(vprobe Out (delayus 1 2 3))", "microseconds"),
        ("(vprobe Out (setreg REG_RAX))", "a register"),
        ("(vprobe Out (dump 5))", "a string"),
        ("(vprobe Out (poke \"x\" 1))", "integer"),
        ("Out { suspendvm(1); }", "nothing"),
        ("Out { dump(); }", "a file's name"),
        ("Out { poke(\"x\", 1); }", "integer"),
    ] {
        let refused = Script::load(&[Source::new("-e", text)], &options()).unwrap_err().to_string();
        assert!(refused.contains(problem), "{text}: {refused}");
    }
}

#[test]
fn a_script_may_have_functions_of_these_names() {
    let lines = crate::testing::lines_of(
        "(defun dump (x) (+ x 1)) (vprobe VMMLoad (printf \"%d\\n\" (dump 4)))",
    );
    assert_eq!(lines, ["5"]);
}
