//! The claim: `races` finds accesses that nothing orders, names both with their stacks, finds none
//! where a lock or a flag orders them, and never takes a search that could see nothing for a pass.

use crate::harness::jitterbug;

tests! {
    Nothing: wrong_use;
    Kvm: an_unlocked_addition, a_reader_without_a_lock, ordered_accesses, a_race_with_one_locked_side,
        nothing_to_see, one_variable_of_two_is_not_seen, the_processor_s_own_pages, a_hold_that_is_cut_short, the_document;
}

/// On a loaded machine a vCPU that is not held may get no processor for some milliseconds.
const LONG_HOLDS: &str = "--repeat 20 --hold 20ms..50ms";

fn wrong_use() {
    jitterbug("races lost-update").ends_with(2).shows("").says(&["--watch"]);
    let one = jitterbug("races lost-update --cpus 1 --watch counter").ends_with(2).shows("");
    one.says(&["one vCPU", "--cpus 2 or more"]);
    let other = jitterbug("races lost-update --watch conter").ends_with(2).shows("");
    other.says(&["--watch conter", "no symbol conter", "did you mean counter?"]);
    let nowhere = jitterbug("races lost-update --watch 0x12345000:8").ends_with(2).shows("");
    nowhere.says(&["--watch 0x12345000:8", "no segment of the guest's image"]);
    jitterbug("races lost-update --watch counter --hold 5").ends_with(2).says(&["not a time"]);
}

/// The values and the lines are those of the guest's source.
fn an_unlocked_addition() {
    let run = jitterbug(&format!("races lost-update --watch counter --trap-pages {LONG_HOLDS}"))
        .ends_with(1);
    run.says(&[
        "race on counter at 0xfffffffffb8",
        "read 0x0, 8 bytes",
        "wrote 0x1, 8 bytes",
        "still there\n    add_one+0x",
        "(lost-update.c:18) < ",
        "(lost-update.c:19) < ",
        "in 20 runs, ",
    ]);
}

/// No run fails here, and the race is found all the same.
fn a_reader_without_a_lock() {
    let run = jitterbug(&format!("races publish-flag --watch result {LONG_HOLDS}")).ends_with(1);
    run.says(&["race on result", "publish+0x", "(publish-flag.c:20)", "take+0x", "20 runs, "]);
}

fn ordered_accesses() {
    for guest in [
        // Locked instructions.
        "lost-update-fixed --watch counter",
        // Locks.
        "abba-fixed --watch money_a --watch money_b",
        // A flag.
        "publish-flag-fixed --watch result",
    ] {
        let run = jitterbug(&format!("races {guest} --repeat 20")).ends_with(0);
        run.says(&["jitterbug: 0 races in 20 runs, 0 failed: ", " by 2 vCPUs, "]);
    }
}

fn a_race_with_one_locked_side() {
    let run = jitterbug(&format!("races refcount-fixed --watch object {LONG_HOLDS}")).ends_with(1);
    run.says(&["race on object", ", in a locked instruction", "get+0x", "put+0x"]);
}

/// A variable that is accessed as it should be covers none that is not.
fn one_variable_of_two_is_not_seen() {
    let command = "races lost-update-fixed --watch counter --watch room.0 --repeat 5 --trap-pages";
    let run = jitterbug(command).ends_with(4);
    run.says(&["0 races in 5 runs, ", "that says nothing about races on room.0: "]);
    let json = jitterbug(command).arg("--json").ends_with(4).json();
    let [seen, other] = [&json["by_variable"][0], &json["by_variable"][1]];
    assert_eq!((&seen["variable"], &other["variable"]), (&"counter".into(), &"room.0".into()));
    assert!(seen["blind"].is_null() && other["blind"].is_string() && json["blind"].is_null());
}

fn nothing_to_see() {
    let run = jitterbug("races lost-update --watch room.0").ends_with(4);
    run.says(&["0 races in 1 run, ", "that says nothing about races: "]);
    let run = jitterbug("races spin --watch room.0 --timeout 1s").ends_with(4);
    run.says(&["that says nothing about races"]);
}

/// What fails then is the watching.
fn the_processor_s_own_pages() {
    let run = jitterbug("races lost-update-fixed --watch low_pt").ends_with(2);
    run.says(&["in a watched page: move it"]);
    let run = jitterbug("run lost-update-fixed -e").arg("GUEST:WRITE:low_pt { }").ends_with(2);
    run.says(&["the page table at gpa ", "is in a watched page"]);
}

fn a_hold_that_is_cut_short() {
    let command = "races lost-update --watch counter --hold 50s --timeout 1s --json --trap-pages";
    let json = jitterbug(command).within(30).ends_with(1).json();
    let held = json["tally"]["held_seconds"].as_f64().expect("a time");
    assert!(held > 0.1 && held < 10.0, "{json}");
}

fn the_document() {
    let command = &format!("races lost-update --watch counter --trap-pages --json {LONG_HOLDS}");
    let json = jitterbug(command).ends_with(1).json();
    assert_eq!((&json["runs"], &json["interrupted"]), (&20.into(), &false.into()));
    assert_eq!(json["variables"][0], "counter");
    let race = &json["races"][0];
    assert!(race["times"].as_u64() >= Some(1), "{race}");
    for side in ["held", "other"] {
        let frame = &race[side]["stack"]["frames"][0];
        assert_eq!(frame["function"], "add_one", "{race}");
        let line = frame["line"].as_u64();
        assert_eq!(line, Some(if race[side]["write"] == true { 19 } else { 18 }), "{race}");
    }
}
