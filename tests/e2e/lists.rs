//! The claim: `guests` lists the catalogue; `doctor` tests what this host's KVM can do, and quickly
//! reports it; both for people and for programs.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{jitterbug, limited};

tests! {
    Nothing: the_catalogue, the_catalogue_as_json, a_reader_who_goes_away, a_full_disk;
    Kvm: the_doctor, the_doctor_as_json;
}

/// Guests that this program must have.
const GUESTS: [&str; 4] = ["hello", "spin", "tsc-sync", "tsc-sync-fixed"];

fn the_catalogue() {
    let run = jitterbug("guests").ends_with(0);
    for guest in GUESTS {
        assert!(run.stdout.lines().any(|line| line.split(' ').next() == Some(guest)), "{run}");
    }
    assert_eq!(run.stderr, "", "{run}");
}

fn the_catalogue_as_json() {
    let run = jitterbug("guests --json").ends_with(0);
    let list = run.json();
    let list = list["guests"].as_array().expect("a list");
    let names: Vec<&Value> = list.iter().map(|guest| &guest["name"]).collect();
    let expected: Vec<&str> = guests::catalogue().iter().map(|guest| guest.name).collect();
    assert_eq!(names, expected, "{run}");
    let tsc_sync = list.iter().find(|guest| guest["name"] == "tsc-sync").expect("tsc-sync");
    assert_eq!(tsc_sync["bug"]["shows_as"], "hang", "{run}");
    assert_eq!(tsc_sync["bug"]["fixed_twin"], "tsc-sync-fixed", "{run}");
}

fn a_reader_who_goes_away() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    jitterbug("guests --json").stdout(Stdio::from(writer)).ends_with(0);
}

fn a_full_disk() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let (status, run) = jitterbug("guests --json").stdout(full).start().ends_with_any(&[1, 2, 3]);
    assert!(run.stderr.contains("standard output: No space left"), "{status}: {run}");
}

fn the_doctor() {
    let run = jitterbug("doctor").within(10).ends_with(0);
    for row in ["port read and write", "single step", "INIT/SIPI", "What jitterbug uses here"] {
        assert!(run.stdout.contains(row), "{run}");
    }
}

fn the_doctor_as_json() {
    let run = jitterbug("doctor --json").within(10).ends_with(0);
    let report = run.json();
    let rows = report["rows"].as_array().expect("rows");
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    assert!(ids.len() >= 30 && ids.len() == rows.len(), "{run}");
    for row in rows {
        assert!(row["verdict"].is_string() && row["name"].is_string(), "{row}");
    }
    // Only a missing device prevents it from working.
    limited("ulimit -n 30", "doctor --json").within(15).start().ends_with_any(&[0, 3]);
}
