//! The claim: `--folded` prints stacks in the form that flame-graph tools read, over all runs
//! together. If there are no stacks, or they can't be written, it says so.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::jitterbug;
use crate::image;
use crate::replay_scripts::find;
use crate::scratch::Folder;
use crate::shipped::TICKS;

tests! {
    Kvm: standard_output_is_for_the_stacks, a_file_gets_those_of_all_runs,
        a_replay_gives_the_same_each_time, what_was_not_counted_is_an_error, a_full_disk_is_named;
    Nothing: what_counts_no_stack_is_refused, a_bad_place_is_refused_at_once;
}

const HOT: &str = "VMM:PROFILE:2msec { hot[gueststack()]++; }";

/// Reads folded stacks in their format: frames separated by semicolons, a space, a number. Each
/// stack occurs once.
fn read(text: &str) -> BTreeMap<Vec<&str>, u64> {
    let mut stacks = BTreeMap::new();
    for line in text.lines() {
        let (frames, count) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let frames: Vec<&str> = frames.split(';').collect();
        assert!(frames.iter().all(|frame| !frame.is_empty()), "{line}");
        let count = count.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(stacks.insert(frames, count).is_none(), "twice: {line}");
    }
    stacks
}

fn standard_output_is_for_the_stacks() {
    let run = jitterbug("run spin --cpus 2 --folded")
        .probe(HOT)
        .probe(TICKS)
        .until_it_reports("has had its ticks", 2)
        .says(&["spin: 2 vCPUs up\n"]);
    let stacks = read(&run.stdout);
    let spins = ["spin_outer", "spin_middle", "spin_inner"];
    for caller in [&["boot", "main"][..], &["ap_main"]] {
        let count = stacks.get(&[caller, &spins].concat()).copied().unwrap_or_default();
        assert!(count >= 10, "{caller:?}: {run}");
    }
    assert!(!run.stderr.contains("aggr: hot"), "{run}");
}

fn a_file_gets_those_of_all_runs() {
    let folder = Folder::new();
    let file = folder.join("spin.folded");
    // This also works with the report on standard output.
    let run = jitterbug("run hello --cpus 2 --repeat 3 --json")
        .arg(format!("--folded={}", file.display()))
        .probe("VMMUnload { ends[VCPUID, gueststack()]++; other[\"a;b\", gueststack()]++; }")
        .ends_with(0);
    assert_eq!(run.json()["boots"].as_array().map(Vec::len), Some(3), "{run}");
    let text = fs::read_to_string(&file).expect("the file");
    let stacks = read(&text);
    // There are two aggregates: the aggregate's name comes first, and then the other keys.
    for begin in [&["ends", "0x0"][..], &["ends", "0x1"], &["other", "a:b"]] {
        let of = stacks.iter().filter(|(frames, _)| frames.starts_with(begin));
        let count: u64 = of.map(|(_, count)| count).sum();
        assert_eq!(count, if begin[0] == "ends" { 3 } else { 6 }, "{begin:?}: {text}");
    }
}

fn a_replay_gives_the_same_each_time() {
    let folder = Folder::new();
    let finding = find(&folder, "tsc-sync");
    let replay = |times: u64| {
        jitterbug(&format!("replay --folded --repeat {times}"))
            .arg(&finding)
            .probe("HV_Exit { hot[EXITNAME, gueststack()]++; }")
            .ends_with(0)
            .says(&["jitterbug: reproduced"])
    };
    let (once, thrice) = (replay(1), replay(3));
    let (once, thrice) = (read(&once.stdout), read(&thrice.stdout));
    let names = once.keys().any(|frames| frames.starts_with(&["mmio-read", "boot", "main"]));
    assert!(names, "{once:?}");
    assert!(once.keys().eq(thrice.keys()) && once.len() > 10, "{once:?}\n{thrice:?}");
    assert!(once.values().zip(thrice.values()).all(|(one, three)| 3 * one == *three));
}

fn what_was_not_counted_is_an_error() {
    jitterbug("run hello --folded")
        .probe("VMM1Hz { hot[gueststack()]++; }")
        .ends_with(2)
        .shows("")
        .says(&["--folded: no stack was counted", "VMM1Hz never fired"]);
    // A failure that was found has priority.
    jitterbug("run --folded")
        .image(&image::exit(3))
        .probe("VMM1Hz { hot[gueststack()]++; }")
        .ends_with(1)
        .says(&["--folded: no stack was counted"]);
}

fn a_full_disk_is_named() {
    jitterbug("run hello --folded=/dev/full")
        .probe("HV_Exit { hot[gueststack()]++; }")
        .ends_with(2)
        .says(&["--folded /dev/full: can't be written: No space left on device"]);
}

fn what_counts_no_stack_is_refused() {
    jitterbug("run hello --folded")
        .probe("VMM1Hz { hot[RIP]++; }")
        .ends_with(2)
        .says(&["--folded: no script has an aggregate whose key is a stack", "gueststack()"]);
    jitterbug("run hello --folded").ends_with(2).says(&["--folded: there is no script"]);
    jitterbug("run hello --folded --json")
        .probe(HOT)
        .ends_with(2)
        .says(&["standard output is for the report of --json: give a file, --folded=FILE"]);
    jitterbug("run hello --folded --explain")
        .probe(HOT)
        .ends_with(2)
        .says(&["--folded: standard output is for the explanation"]);
}

fn a_bad_place_is_refused_at_once() {
    jitterbug("run hello --folded=/nowhere/x")
        .probe(HOT)
        .ends_with(2)
        .says(&["--folded /nowhere/x: can't be written: No such file or directory"]);
}
