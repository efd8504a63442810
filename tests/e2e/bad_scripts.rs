//! The claim: a bad script is refused as a whole, with file, line, column, a caret, and what was
//! expected; the status is 2, and nothing runs. The mistakes are cases in tests/scripts.

use crate::harness::jitterbug;
use crate::scratch::Folder;

tests! {
    Nothing: files_are_named, no_such_file, one_bad_script_of_two, not_text, deep_nesting;
}

fn files_are_named() {
    let scripts = Folder::new();
    let bad = scripts.file("bad.vp", "(vprobe VMM1Hz\n   (setint nothing 1))\n");
    jitterbug("run hello --probe")
        .arg(&bad)
        .ends_with(2)
        .shows("")
        .says(&["bad.vp:2:12", "nothing"]);
}

fn no_such_file() {
    jitterbug("run hello --probe /nonexistent.vp")
        .ends_with(2)
        .shows("")
        .says(&["--probe /nonexistent.vp", "No such file"]);
}

fn one_bad_script_of_two() {
    let scripts = Folder::new();
    let good = scripts.file("good.vp", r#"(vprobe VMMLoad (printf "good\n"))"#);
    let bad =
        scripts.file("bad.vp", r#"(vprobe VMMLoad (printf "bad\n"))"#.replace("\\n", "\\n%d"));
    let run = jitterbug("run hello --probe")
        .arg(good)
        .arg("--probe")
        .arg(bad)
        .ends_with(2)
        .shows("")
        .says(&["bad.vp:1:"]);
    assert!(!run.stderr.lines().any(|line| line == "good"), "{run}");
}

fn not_text() {
    let scripts = Folder::new();
    let binary = scripts.file("binary.vp", b"\xff\xfe\0\x01");
    jitterbug("run hello --probe").arg(&binary).ends_with(2).shows("").says(&["binary.vp"]);
    jitterbug("run hello --probe").arg("/tmp").ends_with(2).shows("").says(&["/tmp"]);
}

fn deep_nesting() {
    let scripts = Folder::new();
    for opening in ["(", "(+ 1 ", "(vprobe "] {
        let deep = scripts.file("deep.vp", opening.repeat(100_000));
        jitterbug("run hello --probe").arg(&deep).ends_with(2).shows("").says(&["deep.vp"]);
    }
}
