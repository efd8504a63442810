//! What the cases in tests/scripts can't say: generated text, files, threads.

use std::time::Duration;

use crate::testing::{Bench, load_emmett, load_source};
use crate::{Options, Script, Source};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn macros_that_grow_without_end_are_stopped() {
    let mut text = String::from("#define A0 1+1\n");
    for level in 1..15 {
        let below = format!("A{}", level - 1);
        text += "#define A";
        text += &[&level.to_string(), " ", &below, "+", &below, "+", &below, "\n"].concat();
    }
    let source = Source::new("t.emt", format!("{text}VMMLoad x = A14;"));
    let found = Script::load(&[source], &Options::default()).expect_err("too many words");
    assert!(found.to_string().contains("the script has more than 200000 words"), "{found}");
}

#[test]
fn includes_are_read_from_the_folder_of_the_script() {
    let folder = std::env::temp_dir().join(format!("jitterbug-include-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let main = "#include \"lib.emt\"\nVMMLoad printf(\"%d\\n\", twice(N));";
    let path = file("main.emt", main);
    file("lib.emt", "#define N 21\nint twice(int n) { return n + n; }");
    let script = load_source(&path, main, &Options::default());
    let mut bench = Bench::new(&script);
    bench.run(SECOND);
    assert_eq!(bench.script_lines(), ["42"]);

    file("lib.emt", "#include \"lib.emt\"\n");
    let error = Script::load(&[Source::new(&path, main)], &Options::default());
    let text = error.expect_err("a circle").to_string();
    assert!(text.contains("does it include itself?"), "{text}");
    // An error in an included file is shown there.
    file("lib.emt", "\nint twice(int n) { return m; }");
    let error = Script::load(&[Source::new(&path, main)], &Options::default());
    let text = error.expect_err("an error").to_string();
    assert!(text.contains("lib.emt:2:27"), "{text}");
    std::fs::remove_dir_all(&folder).expect("gone");
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
