//! The claim: a disk that can't be used is refused before anything runs, with its file's name and
//! what would be right; and so is one where there can be none.

use std::fs::File;

use crate::harness::jitterbug;
use crate::scratch::Folder;

tests! {
    Nothing: wrong_values, not_with_a_search_under_control;
    Kvm: a_missing_file, an_odd_size, too_many, used_twice, a_disk_does_no_harm;
}

const DISK: [u8; 4096] = [7; 4096];

fn wrong_values() {
    for (value, hint) in [("d.img,ro", "read-only"), ("d.img,", "copy-on-write"), (",x", "mode")] {
        let refused = jitterbug("run hello --disk").arg(value).ends_with(2).shows("");
        refused.says(&["--disk", value, hint]);
    }
}

fn not_with_a_search_under_control() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    for command in ["hunt hello", "run hello --explain"] {
        let refused = jitterbug(command).arg("--disk").arg(&disk).ends_with(2).shows("");
        refused.says(&["--disk ", "disk.img", "memory unseen", "`run` without --explain"]);
        let refused = jitterbug(command).arg("--rng").ends_with(2).shows("");
        refused.says(&["--rng ", "memory unseen"]);
    }
}

fn a_missing_file() {
    let folder = Folder::new();
    let run = jitterbug("run hello --disk").arg(folder.join("none.img")).ends_with(2).shows("");
    run.says(&["--disk ", "none.img: No such file"]);
    let run = jitterbug("run hello --disk").arg(&*folder).ends_with(2).shows("");
    run.says(&["--disk "]);
}

fn an_odd_size() {
    let folder = Folder::new();
    for (name, size) in [("empty.img", 0), ("odd.img", 1000)] {
        let file = folder.file(name, vec![0; size]);
        let run = jitterbug("run hello --disk").arg(file).ends_with(2).shows("");
        run.says(&["--disk ", name, &format!("{size} bytes long"), "sectors of 512 bytes"]);
    }
}

fn too_many() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    let value = format!("{},copy-on-write", disk.display());
    let mut run = jitterbug("run hello --rng");
    for _ in 0..8 {
        run = run.arg("--disk").arg(&value);
    }
    run.ends_with(2).shows("").says(&["disk.img", "one too many", "8 disks, or 7 and --rng"]);
}

fn used_twice() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    // Twice by one machine, and by another process.
    let twice = jitterbug("run hello --disk").arg(&disk).arg("--disk").arg(&disk);
    twice.ends_with(2).shows("").says(&["--disk ", "disk.img", "in use by another disk"]);
    let other = File::open(&disk).expect("the disk");
    other.lock_shared().expect("a lock");
    let run = jitterbug("run hello --disk").arg(&disk).ends_with(2).shows("");
    run.says(&["--disk ", "disk.img", "in use"]);
    let value = format!("{},read-only", disk.display());
    jitterbug("run hello --disk").arg(value).ends_with(0);
}

/// A guest that knows no disk runs as ever, again and again.
fn a_disk_does_no_harm() {
    let folder = Folder::new();
    let disk = folder.file("disk.img", DISK);
    jitterbug("run hello --cpus 2 --rng --repeat 3 --disk").arg(&disk).ends_with(0);
    assert_eq!(std::fs::read(&disk).expect("the disk"), DISK);
}
