//! Prints the table of `docs/truth.md`: the verdict of `jitterbug` on each guest for which the
//! truth is known.
//!
//! ```text
//! truth PROGRAM [--runs N] [--hunt-only] [--only GUEST]
//! ```
//! `PROGRAM` is the `jitterbug` to test. `N` is the number of runs of each guest that must not fail
//! (default 10,000). With `--hunt-only` neither `run` is used nor a failure explained, for slow
//! hosts. With `--only` one guest is tested.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use guests::Oracle;
use serde_json::Value;

/// A guest for which the truth is known.
struct Subject {
    name: String,
    /// The argument for `jitterbug`: the name, or a file.
    given: String,
    cpus: u32,
    truth: &'static str,
    /// The number of runs, none of which may fail; `None` for a guest with a bug.
    clean: Option<u64>,
    /// Whether a plain run of it ends by itself.
    ends: bool,
}

/// The cases: name, truth, the maximum number of runs of a case without a bug, and whether a plain
/// run ends.
const CASES: &[(&str, &str, Option<u64>, bool)] = &[
    ("tscloop", "no failure: it gives up after a time", Some(10_000), true),
    ("gives-up", "no failure: it gives up after a number of turns", Some(20), true),
    ("idle", "no failure: it idles", Some(10_000), true),
    ("made-code", "no failure; not repeatable", Some(1000), true),
    ("masked", "no failure: CR8 keeps the interrupt away", Some(10_000), true),
    ("priv", "failure: a lost update", None, true),
    ("stuck", "hang: a lock is never given back", None, false),
    ("ring", "hang: four locks in a ring", None, true),
    ("waits", "hang: waits for `second`", None, false),
    ("overlap", "failure: two owners", None, true),
    ("lost-ipi", "hang: the handler clears what another CPU has added", None, true),
    ("percpu-uaf", "failure: a freed node is read", None, true),
    ("percpu-uaf-edited", "failure: a freed node is read", None, true),
];

fn main() {
    let mut arguments = env::args().skip(1);
    let program = PathBuf::from(
        arguments.next().expect("usage: truth PROGRAM [--runs N] [--hunt-only] [--only GUEST]"),
    );
    let (mut runs, mut hunt_only, mut only) = (10_000, false, None);
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--runs" => runs = arguments.next().and_then(|n| n.parse().ok()).expect("a number"),
            "--hunt-only" => hunt_only = true,
            "--only" => only = Some(arguments.next().expect("a guest")),
            other => panic!("{other}: no such option"),
        }
    }
    let folder = env::temp_dir().join(format!("jitterbug-truth-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for findings");
    println!("| guest | the truth | `run` | `hunt` | cause | true |");
    println!("|---|---|---|---|---|---|");
    let mut wrong = 0;
    let wanted = |subject: &Subject| only.as_ref().is_none_or(|name| *name == subject.name);
    for subject in subjects(&folder, runs).into_iter().filter(wanted) {
        let ask = |words: &[&str]| ask(&program, &subject, words);
        let run = if hunt_only || !subject.ends {
            "-".into()
        } else {
            said_by_run(&ask(&["run", "--json", "--timeout", "20s"]))
        };
        let (hunt, cause, agrees) = hunted(&subject, &folder, hunt_only, &ask);
        wrong += u32::from(!agrees);
        let mark = if agrees { "yes" } else { "**no**" };
        println!("| `{}` | {} | {run} | {hunt} | {cause} | {mark} |", subject.name, subject.truth);
    }
    let _ = fs::remove_dir_all(&folder);
    println!("\nFalse verdicts: {wrong}.");
    std::process::exit(i32::from(wrong > 0));
}

fn subjects(folder: &std::path::Path, runs: u64) -> Vec<Subject> {
    let catalogue =
        guests::catalogue().iter().filter(|guest| !guest.endless).map(|guest| Subject {
            name: guest.name.into(),
            given: guest.name.into(),
            cpus: guest.default_cpus,
            truth: match guest.bug.as_ref().map(|bug| bug.oracle) {
                None => "no failure",
                Some(Oracle::Hang) => "hang",
                Some(Oracle::Report) => "failure, by its own report",
                Some(Oracle::TripleFault) => "triple fault",
            },
            clean: guest.bug.is_none().then_some(runs),
            ends: true,
        });
    let cases = CASES.iter().map(|(name, truth, clean, ends)| {
        let case = guests::case(name).expect("a case");
        let file = folder.join(format!("{name}.elf"));
        fs::write(&file, case.image).expect("a file");
        Subject {
            name: (*name).into(),
            given: file.display().to_string(),
            cpus: case.cpus,
            truth,
            clean: clean.map(|most| most.min(runs)),
            ends: *ends,
        }
    });
    catalogue.chain(cases).collect()
}

/// Runs the program and returns its JSON document.
fn ask(program: &std::path::Path, subject: &Subject, words: &[&str]) -> Value {
    let output = Command::new(program)
        .args(words)
        .arg(&subject.given)
        .args(["--cpus", &subject.cpus.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("jitterbug runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{}: {words:?}: {error}: {}", subject.name, String::from_utf8_lossy(&output.stderr))
    })
}

fn said_by_run(report: &Value) -> String {
    report["boots"][0]["verdict"].as_str().unwrap_or("?").replace('|', "\\|")
}

/// The result of a search, the first sentence of its explanation, and whether they agree with the
/// truth.
fn hunted(
    subject: &Subject,
    folder: &std::path::Path,
    hunt_only: bool,
    ask: &dyn Fn(&[&str]) -> Value,
) -> (String, String, bool) {
    let out = folder.join(&subject.name).display().to_string();
    if let Some(runs) = subject.clean {
        let runs = runs.to_string();
        let report = ask(&["hunt", "--json", "--runs", &runs, "--keep-going", "--out", &out]);
        let number = |field: &str| report[field].as_u64().unwrap_or(u64::MAX);
        let all = if report["exhausted"] == true { ", which are all" } else { "" };
        let said = format!(
            "{} runs{all}, {} failed, {} cut short",
            number("runs"),
            number("failed"),
            number("cut_short")
        );
        return (said, "-".into(), number("failed") == 0 && number("cut_short") == 0);
    }
    let explain: &[&str] = if hunt_only { &[] } else { &["--explain"] };
    let words = ["hunt", "--json", "--time", "60s", "--out", &out];
    let report = ask(&[&words[..], explain].concat());
    let verdict = report["findings"][0]["finding"]["verdict"].as_str().unwrap_or("nothing found");
    let agrees = match subject.truth.split([':', ',']).next().unwrap_or_default() {
        "hang" => verdict == "proven hang",
        "triple fault" => verdict.starts_with("triple fault"),
        _ => verdict.starts_with("the guest's failure code"),
    };
    let sentence = report["explanation"]["summary"][0].as_str().unwrap_or("-").replace('|', "\\|");
    // If a guest fails in any order, no order is the cause, and the explanation must say so.
    let shown = match &report["explanation"]["shown"] {
        _ if hunt_only => true,
        Value::Bool(true) => subject.ends,
        _ => !subject.ends && sentence.starts_with("No order of accesses decides it"),
    };
    (verdict.into(), sentence, agrees && shown)
}
