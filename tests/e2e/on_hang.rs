//! The claim: `--on-hang` looks at a hung machine and has it react before the run ends, and the
//! hang remains the verdict.

use std::fs;

use crate::harness::jitterbug;
use crate::scratch::Folder;

tests! {
    Kvm: what_is_asked_for_is_done_in_order, what_cannot_be_done_is_said,
        the_hang_of_a_race_is_examined;
}

/// The guest spins with interrupts off, prints any exception, and ends.
fn what_is_asked_for_is_done_in_order() {
    let folder = Folder::new();
    let dump = folder.join("hung.core");
    let run = jitterbug("run spin --cpus 1 --watchdog 1s --on-hang");
    let run = run.arg(format!("stacks,dump={},nmi", dump.display())).ends_with(1);
    let run = run.says(&[
        "jitterbug: the hung machine's stacks:\nvCPU 0: in the guest\n  spin_inner+",
        "jitterbug: NMI sent to vCPU 0; the guest has time until it has been silent for 1s",
        "jitterbug: seed 1: hang: for 1s no vCPU has left",
        "\nvCPU 0: spins in spin_inner+",
        &format!("jitterbug: dumped to {}\n", dump.display()),
    ]);
    assert!(!run.stderr.contains("trap+"), "the report tells of the hang, not of the NMI: {run}");
    assert!(run.stdout.contains("unexpected exception: vector 2"), "{run}");
    assert!(fs::read(&dump).expect("the dump").starts_with(b"\x7fELF"));
}

/// The guest ends at the NMI, so there is nothing left to dump.
fn what_cannot_be_done_is_said() {
    let folder = Folder::new();
    let dump = folder.join("x");
    let run = jitterbug("run spin --cpus 1 --watchdog 1s --json --on-hang");
    let run = run.arg(format!("nmi,dump={}", dump.display())).ends_with(1);
    let run = run.says(&["jitterbug: --on-hang dump: no machine is running"]);
    let report = run.json();
    assert_eq!(report["boots"][0]["result"], "hang", "{run}");
    assert_eq!(report["boots"][0]["dumps"].as_array().map(Vec::len), Some(0), "{run}");
    assert!(!dump.exists());
}

fn the_hang_of_a_race_is_examined() {
    let run = jitterbug("run tsc-sync --jitter boot --until-failure --on-hang stacks").within(120);
    let run = run.ends_with(1).says(&["the hung machine's stacks:\nvCPU 0: in the guest\n"]);
    for function in ["\n  tsc_sync_master+", "\n  mp_startup_signal+"] {
        assert!(run.stderr.contains(function), "{function}: {run}");
    }
}
