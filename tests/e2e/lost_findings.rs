//! The claim: `run --explain` and `hunt` check the folder for findings before they begin. If a
//! finding can't be written later, its text and the report are printed nevertheless.

use std::fs;

use serde_json::Value;

use crate::harness::{jitterbug, limited};
use crate::scratch::Folder;

tests! {
    QuickKvm: a_finding_of_run_is_not_lost, counts_agree_after_a_lost_finding;
    Kvm: the_folder_is_checked_first;
}

fn the_folder_is_checked_first() {
    let folder = Folder::new();
    let file = folder.file("file", "");
    for command in ["run lost-update --until-failure --explain", "hunt lost-update"] {
        for place in [file.clone(), file.join("below"), "/proc".into()] {
            let refused = jitterbug(command).arg("--out").arg(&place).ends_with(2).shows("");
            let refused = refused.says(&["--out", place.to_str().expect("UTF-8")]);
            assert!(!refused.stderr.contains("seed 1"), "{}", refused.stderr);
        }
    }
}

/// As with `hunt`, status 6 says so, and the text replays.
fn a_finding_of_run_is_not_lost() {
    let folder = Folder::new();
    let arguments = "run lost-update --until-failure --explain --jitter boot --json --out";
    let run = limited("ulimit -f 0", arguments).arg(&*folder).within(60).ends_with(6);
    let run = run.says(&[
        "can't be written: File too large",
        "the finding follows",
        "the same failure under control",
        "(status 6)",
    ]);
    let report = run.json();
    assert!(report["boots"].as_array().is_some_and(|boots| !boots.is_empty()), "{report:#}");
    assert_eq!(report["reproduction"]["file"], Value::Null);
    assert!(report["explanation"].is_object(), "{report:#}");
    assert_eq!(fs::read_dir(&*folder).expect("a folder").count(), 0, "something is left");
    let from = run.stderr.find("# jitterbug finding").expect("a finding");
    let end = "# end of finding\n";
    let to = run.stderr.find(end).expect("its end") + end.len();
    let file = folder.file("from-terminal.finding", &run.stderr[from..to]);
    jitterbug("replay").arg(file).ends_with(0).says(&["reproduced"]);
}

/// Runs that had ended when the search stopped are in the groups, too.
fn counts_agree_after_a_lost_finding() {
    let folder = Folder::new();
    let arguments = "hunt lost-update --jobs 2 --keep-going --runs 300 --json --out";
    let report = limited("ulimit -f 0", arguments).arg(&*folder).ends_with(6).json();
    let groups = report["groups"].as_array().expect("groups");
    let times: u64 = groups.iter().filter_map(|group| group["times"].as_u64()).sum();
    assert_eq!(report["failed"], times, "{report:#}");
}
