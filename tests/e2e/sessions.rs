//! The claim: the sessions in the documents are what a user sees. Each fenced block of the kind
//! `console` is run, command by command, in a folder per document, and its output is compared.
//!
//! In a document, a line `...` stands for any number of lines, and `...` within a line for any
//! text.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Invocation, PROGRAM};
use crate::needs;
use crate::scratch::Folder;
use crate::script_cases::format::matches;

tests! {
    Nothing: every_document_is_run, a_difference_is_seen;
    // What a new user reads first is run on every host.
    Kvm: readme, getting_started;
    QuickKvm: explain, experiments, faults, hunt, illumos_1687, jitter, json, passes, probes, races, scripting;
}

macro_rules! documents {
    ($($test:ident: $path:literal),+ $(,)?) => {
        /// The documents that are run.
        const DOCUMENTS: &[&str] = &[$($path),+];
        $(fn $test() {
            run($path);
        })+
    };
}

documents! {
    readme: "README.md",
    explain: "docs/explain.md",
    experiments: "docs/experiments.md",
    faults: "docs/faults.md",
    getting_started: "docs/getting-started.md",
    races: "docs/races.md",
    hunt: "docs/hunt.md",
    illumos_1687: "docs/illumos-1687.md",
    jitter: "docs/jitter.md",
    json: "docs/json.md",
    passes: "docs/passes.md",
    probes: "docs/probes.md",
    scripting: "docs/scripting.md",
}

fn every_document_is_run() {
    let files = fs::read_dir(root().join("docs")).expect("docs");
    let files = files.map(|entry| entry.expect("docs").path());
    let documents = files.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let name = |path: PathBuf| format!("docs/{}", path.file_name().expect("a name").display());
    for document in documents.map(name).chain(["README.md".into()]) {
        let has_sessions = !sessions(&text(&document)).is_empty();
        let is_run = DOCUMENTS.contains(&document.as_str());
        assert_eq!(has_sessions, is_run, "{document}: does it have sessions, and is it run?");
    }
}

fn a_difference_is_seen() {
    let actual = ["one", "two 22", "three"];
    for expected in [
        &["one", "two 22", "three"][..],
        &["...", "three"],
        &["one", "..."],
        &["one", "two ...", "three"],
        &["...", "t... 22", "..."],
        &["..."],
    ] {
        assert!(matches(expected, &actual), "{expected:?}");
    }
    for expected in [
        &["one", "three"][..],
        &["two 22", "..."],
        &["...", "two 22"],
        &["...", "three", "two 22", "..."],
        &["one", "two ...3", "three"],
        &[],
    ] {
        assert!(!matches(expected, &actual), "{expected:?}");
    }
}

/// A command and the output that a document shows.
#[derive(Debug)]
struct Step {
    command: String,
    output: Vec<String>,
}

/// Runs the sessions of a document, one after the other.
fn run(document: &str) {
    let folder = Folder::new();
    let programs = folder.join("bin");
    fs::create_dir(&programs).expect("a folder for the program");
    symlink(PROGRAM, programs.join("jitterbug")).expect("a link to the program");
    symlink(root().join("probes"), folder.join("probes")).expect("a link to the scripts");
    symlink(root().join("experiments"), folder.join("experiments")).expect("a link to the files");
    let others = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&others)));
    let path = path.expect("a search path");
    for Step { command, output } in sessions(&text(document)) {
        // How often jitter makes a guest fail depends on how quick the host is: on a slow one,
        // a run that fails may never come.
        if needs::is_slow() && command.contains("--until-failure") {
            println!("{document}: on a slow host not run: {command}");
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 1>&2\n{command}")]);
        shell.current_dir(&*folder).env("PATH", &path);
        let (_, finished) = Invocation::new(shell).within(120).start().ends_with_any(&[0, 1, 2]);
        let actual: Vec<&str> = finished.stderr.lines().map(str::trim_end).collect();
        let expected: Vec<&str> = output.iter().map(String::as_str).collect();
        assert!(
            matches(&expected, &actual),
            "{document}: $ {command}\nshows\n{}\nand prints\n{}",
            expected.join("\n"),
            actual.join("\n")
        );
    }
}

/// The commands in a document's sessions.
fn sessions(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_session = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_session = line == "```console";
        } else if let (true, Some(command)) = (is_session, line.strip_prefix("$ ")) {
            steps.push(Step { command: command.into(), output: Vec::new() });
        } else if is_session {
            let step = steps.last_mut().expect("a session begins with a command");
            step.output.push(line.trim_end().into());
        }
    }
    steps
}

fn text(document: &str) -> String {
    fs::read_to_string(root().join(document)).expect(document)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
