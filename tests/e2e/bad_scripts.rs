//! The claim: a bad script is refused as a whole, with file, line, column, a caret, and what was
//! expected; the status is 2, and nothing runs.

use crate::harness::jitterbug;
use crate::scratch::Folder;

tests! {
    Nothing: each_mistake_is_shown_where_it_is, files_are_named, all_mistakes_at_once, no_such_file,
        one_bad_script_of_two, not_text, deep_nesting, an_empty_script;
}

/// A script, the place of its mistake, and what the message must contain.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("(vprobe VMM1Hz (foo))", "1:17", &["foo"]),
    (r#"(vprobe VMM1Hz (prinf "x\n"))"#, "1:17", &["prinf", "did you mean printf"]),
    (r#"(vprobe VMM1Hz (printf "%d\n" NOSUCH))"#, "1:31", &["NOSUCH", "variable"]),
    (r#"(vprobe VMM1Hz (printf "%d\n" VCPUID)"#, "1:1", &["parenthesis", "never closed"]),
    (r#"(vprobe VMM1Hz (printf "%d\n" VCPUID)))"#, "1:39", &[")"]),
    (r#"(vprobe VMM1Hz (printf "%d\n VCPUID))"#, "1:24", &["string"]),
    (r#"(definteger x)(vprobe VMM1Hz (setint x "s"))"#, "1:40", &["a string", "an integer"]),
    (r#"(vprobe VMM1Hz (printf "%s\n" VCPUID))"#, "1:31", &["string"]),
    (r#"(vprobe VMM1Hz (printf "%d %d\n" VCPUID))"#, "1:", &["%d"]),
    (r#"(vprobe VMM1Hz (printf "%n\n" VCPUID))"#, "1:", &["%n"]),
    (r#"(vprobe VMM2Hz (printf "x\n"))"#, "1:9", &["VMM2Hz", "did you mean VMM1Hz"]),
    (r#"(vprobe Guest_IRQ (printf "x\n"))"#, "1:9", &["Guest_IRQ is not available"]),
    ("(vprobe VMM1Hz (setint RAX 1))", "1:24", &["RAX"]),
    ("(vprobe VMM1Hz (getguest))", "1:16", &["getguest has no arguments"]),
    (
        "(vprobe VMM1Hz (delayus 5))",
        "1:17",
        &["delayus changes what the guest does", "--destructive"],
    ),
    ("\n\n  (defbag b)\n", "3:3", &["defbag"]),
    ("(definteger x)(definteger x)(vprobe VMM1Hz (setint x 1))", "1:27", &["x"]),
    ("(vprobe VMM1Hz (setint 99999999999999999999999 1))", "1:24", &["9"]),
];

fn each_mistake_is_shown_where_it_is() {
    for (script, place, texts) in MISTAKES {
        let run = jitterbug("run hello").probe(script).ends_with(2).shows("").says(texts);
        let run = run.says(&["the script is not run", "Error: ", &format!("[ -e #1:{place}")]);
        // ariadne's carets are a line below the script's line, with marks only.
        let marked = run.stderr.lines().any(|line| {
            let marks = line.trim_start_matches([' ', '|']);
            !marks.is_empty() && marks.chars().all(|c| "^|`-.,' ".contains(c))
                || line.trim_end().ends_with('|') && line.contains(" |") && line.len() > 6
        });
        assert!(marked, "no caret: {run}");
        let line = script.trim().lines().next().expect("a line");
        assert!(run.stderr.contains(line), "doesn't show the line: {run}");
    }
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

fn all_mistakes_at_once() {
    let run = jitterbug("run hello")
        .probe("(vprobe VMM1Hz (foo))")
        .probe("(vprobe VMM3Hz (setint a 1))")
        .ends_with(2)
        .shows("")
        .says(&["-e #1:1:17", "-e #2:1:9", "-e #2:1:24"]);
    assert_eq!(run.lines_with("Error: ").count(), 3, "{run}");
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

fn an_empty_script() {
    jitterbug("run hello").probe("").ends_with(2).shows("").says(&["no probe"]);
}
