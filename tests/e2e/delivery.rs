//! The claim: what a vCPU gets (an interrupt, an NMI, an exception, an INIT) comes where the
//! processor lets it come, once, and in a repetition of the run in the same place.

use serde_json::Value;

use crate::cases::image;
use crate::harness::{Finished, jitterbug};
use crate::scratch::Folder;

tests! {
    Kvm: an_nmi_comes_once, a_fault_is_stepped_over_unseen, an_interrupt_waits_for_the_end_of_a_fault,
        what_the_interrupt_controller_holds_back_does_not_come, a_run_leaves_no_interrupt_to_the_next,
        a_gate_of_another_segment_is_repeatable, ring_3_goes_on, a_loop_in_ring_3_is_given_up,
        an_init_leaves_no_half_of_a_copy;
}

/// The report of a search in which every run is repeated, and its messages.
fn hunt(guest: &str, runs: u32, status: i32) -> (Value, Finished) {
    let out = Folder::new();
    let cpus = guests::case(guest).expect("a case").cpus;
    let search = format!("hunt --cpus {cpus} --runs {runs} --verify --keep-going --json --out");
    let finished = jitterbug(&search).arg(&*out).arg(&*image(guest)).within(100).ends_with(status);
    (finished.json(), finished)
}

/// Requires that no run of these guests fails, is cut short, or comes out differently in its
/// repetition.
fn all_pass(table: &[(&str, u32)]) {
    for (guest, runs) in table {
        let (report, finished) = hunt(guest, *runs, 0);
        for count in ["failed", "cut_short", "diverged"] {
            assert_eq!(report[count], 0, "{guest}: {finished}");
        }
        assert!(report["distinct"].as_u64() > Some(1), "{guest}: nothing to choose: {finished}");
    }
}

fn an_nmi_comes_once() {
    all_pass(&[("nmi-after-init", 30), ("nmi-in-nmi", 30), ("nmi-before-store", 30)]);
}

fn a_fault_is_stepped_over_unseen() {
    all_pass(&[
        ("fault-before-interrupt", 30),
        ("fault-flags", 30),
        ("fault-in-computation", 5),
        ("locked-fault", 30),
        ("locked-fault-computes", 30),
    ]);
}

fn an_interrupt_waits_for_the_end_of_a_fault() {
    all_pass(&[("fault-of-access", 100), ("fault-of-access-nmi", 100)]);
}

fn what_the_interrupt_controller_holds_back_does_not_come() {
    all_pass(&[("eoi-enabled", 100), ("task-priority", 100)]);
}

fn a_run_leaves_no_interrupt_to_the_next() {
    all_pass(&[("queued-at-end", 60)]);
}

fn a_gate_of_another_segment_is_repeatable() {
    all_pass(&[("other-segment", 10)]);
}

fn ring_3_goes_on() {
    all_pass(&[("user-computes", 5), ("user-clock", 30)]);
}

/// No verdict: each run takes the two seconds of processor time after which a vCPU is a runaway.
fn a_loop_in_ring_3_is_given_up() {
    let (report, finished) = hunt("user-loop", 2, 4);
    assert_eq!(report["cut_short"], report["runs"], "{finished}");
    for count in ["failed", "diverged"] {
        assert_eq!(report[count], 0, "{finished}");
    }
}

fn an_init_leaves_no_half_of_a_copy() {
    all_pass(&[("init-of-copy", 30)]);
}
