//! The claim: a fault of a disk strikes the requests that it names and no others, is counted, and
//! is an error if it never did.

use std::fs;

use crate::disks::{DISK, expected, writer};
use crate::harness::{Invocation, jitterbug};
use crate::scratch::Folder;

tests! {
    Nothing: misuse_is_named;
    Kvm: a_write_fails, a_write_is_lost, a_lost_flush_loses_nothing_here, a_late_request_is_done, a_disk_is_full,
        what_was_never_struck_is_an_error, each_run_is_counted;
}

/// A guest that writes the second sector of its disk and flushes, with a fault.
fn run(folder: &Folder, fault: &str) -> Invocation {
    let disk = folder.file("disk.img", DISK);
    jitterbug("run --disk").arg(&disk).arg("--fault").arg(fault)
}

fn contents(folder: &Folder) -> Vec<u8> {
    fs::read(folder.join("disk.img")).expect("the disk")
}

fn a_write_fails() {
    let folder = Folder::new();
    let run = run(&folder, "disk-error:op=write").image(&writer(true)).ends_with(1);
    let run = run.says(&["fault disk-error:op=write: struck 1 of 1 requests that match"]);
    // Nothing is wrong with the host.
    assert!(!run.stderr.contains("failed on the host"), "{run}");
    assert_eq!(contents(&folder), DISK);
}

fn a_disk_is_full() {
    let folder = Folder::new();
    let full = run(&folder, "disk-full").image(&writer(true)).ends_with(1);
    let full = full.says(&["fault disk-full: struck 1 of 1 requests that match"]);
    assert!(!full.stderr.contains("failed on the host"), "{full}");
    assert_eq!(contents(&folder), DISK);
    // The guest writes once.
    run(&folder, "disk-full:nth=2").image(&writer(true)).ends_with(2).says(&["struck 0 of 1"]);
}

fn a_write_is_lost() {
    let folder = Folder::new();
    let run = run(&folder, "disk-lost:op=write,sector=1").image(&writer(true)).ends_with(0);
    run.shows("flushed\n").says(&["struck 1 of 1"]);
    assert_eq!(contents(&folder), DISK);
}

fn a_lost_flush_loses_nothing_here() {
    let folder = Folder::new();
    let run = run(&folder, "disk-lost:op=flush").image(&writer(true)).ends_with(0);
    run.shows("flushed\n").says(&["struck 1 of 1"]);
    assert_eq!(contents(&folder), expected());
}

fn a_late_request_is_done() {
    let folder = Folder::new();
    let run = run(&folder, "disk-delay:for=200ms,times=2").image(&writer(true)).ends_with(0);
    run.shows("flushed\n").says(&["struck 2 of 2"]);
    assert_eq!(contents(&folder), expected());
}

fn what_was_never_struck_is_an_error() {
    let folder = Folder::new();
    let silent = run(&folder, "disk-error:op=read").image(&writer(true)).ends_with(2);
    silent.says(&["--fault disk-error:op=read: it never struck: the guest made no such request"]);
    // A write of one sector can't be torn.
    let silent = run(&folder, "disk-torn").image(&writer(true)).ends_with(2);
    silent.says(&["it never struck"]);
    let silent = run(&folder, "disk-error:nth=9").image(&writer(true)).ends_with(2);
    silent.says(&["struck 0 of 2", "none of the requests was the one"]);
}

fn each_run_is_counted() {
    let folder = Folder::new();
    let report = run(&folder, "disk-delay:for=1ms,op=flush")
        .arg("--repeat")
        .arg("2")
        .arg("--json")
        .image(&writer(true))
        .ends_with(0)
        .json();
    assert_eq!(report["machine"]["faults"][0], "disk-delay:op=flush,for=1ms");
    for boot in report["boots"].as_array().unwrap() {
        assert_eq!(boot["faults"][0]["struck"], 1);
    }
}

fn misuse_is_named() {
    let cases = [
        ("run hello --fault ipi-drop", "`hunt` has this fault"),
        ("run hello --fault disk-error", "the machine has no disk: give one by --disk"),
        ("hunt hello --fault disk-error", "a machine under control has no disks: use `run`"),
        ("run hello --fault disk-error:op=trim", "give read, write or flush"),
    ];
    for (command, message) in cases {
        jitterbug(command).ends_with(2).says(&[message]);
    }
}
