//! The claim: the user can say when a run has succeeded or failed: `--ok` and `--fail` by what the
//! guest prints, `--ok-at` and `--fail-at` by the place that a vCPU reaches.

use crate::harness::jitterbug;
use crate::image;
use crate::scratch::{Folder, ScratchFile};

tests! {
    Kvm: the_console_says_how_it_is, failure_goes_before_success, a_function_is_reached,
        what_never_came_is_a_failure, a_success_that_is_not_the_users, each_run_is_looked_through;
    Nothing: what_can_not_be_looked_for_is_refused;
}

/// A guest that prints these lines and then sleeps without interrupts: without a criterion this is
/// a hang.
fn prints(text: &str) -> ScratchFile {
    image::print_and_halt(text).file()
}

fn the_console_says_how_it_is() {
    let guest = prints("booting\nCPU 1: all up\nand more");
    let run = || jitterbug("run").arg(&*guest);
    run().arg("--ok").arg("all up").ends_with(0).says(&["success: the console has `all up`"]);
    let said = "failure: the console has `CPU ?: * up`";
    run().arg("--fail").arg("CPU ?: * up").ends_with(1).says(&[said]);
    let report = run().arg("--ok=more").arg("--json").ends_with(0).json();
    assert_eq!(report["boots"][0]["result"], "ok");
    assert_eq!(report["boots"][0]["console"], "booting\nCPU 1: all up\nand more");
    assert_eq!(report["machine"]["criteria"]["ok"][0], "more");
    let report = run().arg("--fail=boot").arg("--json").ends_with(1).json();
    assert_eq!((&report["boots"][0]["result"], &report["failed"]), (&"fail".into(), &1.into()));
}

/// The guest reports success, but the user's criterion has not been met.
fn a_success_that_is_not_the_users() {
    let said = "failure: the guest ended the run before anything that --ok or --ok-at names";
    jitterbug("run hello --ok nothing").ends_with(1).says(&[said]);
    jitterbug("run tsc-sync-fixed --ok-at violated").ends_with(1).says(&[said]);
    let out = Folder::new();
    jitterbug("hunt lost-update-fixed --ok nothing --out").arg(&*out).ends_with(1).says(&[said]);
    jitterbug("hunt lost-update-fixed --ok-at main --runs 5").ends_with(0).says(&["0 failed"]);
}

fn failure_goes_before_success() {
    let guest = prints("not up\n");
    jitterbug("run --ok up --fail not*p").arg(&*guest).ends_with(1).says(&["`not*p`"]);
    jitterbug("run --ok not --fail up").arg(&*guest).ends_with(0).says(&["`not`"]);
}

fn a_function_is_reached() {
    jitterbug("run spin --fail-at spin_inner").ends_with(1).says(&[
        "failure: a vCPU has come to spin_inner",
        "vCPU 0: ",
        "vCPU 1: ",
    ]);
    jitterbug("run spin --ok-at spin_outer --fail-at spin_inner")
        .ends_with(0)
        .says(&["success: a vCPU has come to spin_outer"]);
    // The first instruction of the small guest.
    let guest = prints("");
    let run = jitterbug("run --ok-at 0x100000").arg(&*guest).ends_with(0);
    run.says(&["success: a vCPU has come to 0x100000"]);
}

fn what_never_came_is_a_failure() {
    let guest = prints("boot\n");
    let run = jitterbug("run --ok login --timeout 300ms --watchdog off").arg(&*guest).ends_with(1);
    run.says(&["failure: time limit reached, and no criterion of success was met"]);
    // The proposed search has the same criterion.
    let report = jitterbug("run --ok login --watchdog 1s --json").arg(&*guest).ends_with(1).json();
    let hunt = report["hunt"].as_str().unwrap();
    assert!(hunt.contains(" --ok=login "), "{hunt}");
    jitterbug("run --fail login --timeout 300ms --watchdog off").arg(&*guest).ends_with(0);
}

fn each_run_is_looked_through() {
    let guest = prints("half a li");
    let run = jitterbug("run --repeat 3 --ok li").arg(&*guest).ends_with(0).shows("");
    run.says(&["0 of 3 runs failed"]);
}

fn what_can_not_be_looked_for_is_refused() {
    for (option, pattern, said) in [
        ("--ok", "*", "every line has that in it"),
        ("--fail", "a\nb", "within a line"),
        ("--ok-at", "man", "hello has no symbol man; did you mean main?"),
        ("--fail-at", "main+x", "x is no offset"),
    ] {
        let refused = jitterbug("run hello").arg(option).arg(pattern).ends_with(2).shows("");
        refused.says(&[option, said]);
    }
    jitterbug("run hello --symbols none --ok-at main").ends_with(2).says(&["there are no symbols"]);
}
