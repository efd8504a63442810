use crate::controlled::Waits;
use crate::controlled::testing::{case, random};
use crate::end::{End, HangEvidence};

/// Runs a case to its end; returns the ending, what the vCPUs waited for, and the hash.
fn run(name: &str, seed: u64) -> (End, Vec<Waits>, u64) {
    let mut machine = case(name);
    let ending = machine.run(&mut random(seed), 100_000).unwrap();
    let waits = machine.waiters().unwrap().into_iter().map(|waiter| waiter.waits).collect();
    (ending, waits, machine.hash())
}

#[test]
fn a_loop_that_does_nothing_leaves_the_others_alone() {
    let endings: Vec<End> = (0..40).map(|seed| run("priv", seed).0).collect();
    assert!(endings.contains(&End::Guest { code: 1 }), "the lost update is found: {endings:?}");
    assert!(!endings.iter().any(|ending| matches!(ending, End::Runaway { .. })), "{endings:?}");
}

#[test]
fn a_lock_that_is_never_given_back_is_a_proven_hang() {
    let (ending, waits, hash) = run("stuck", 1);
    assert_eq!(ending, End::Hang(HangEvidence::Proof));
    assert!(
        matches!(&waits[..], [Waits::ForChange(reads), Waits::Endless] if reads.len() == 1),
        "{waits:?}"
    );
    assert_eq!(run("stuck", 1).2, hash, "it doesn't matter when the loop is looked at");
}

#[test]
fn the_vcpu_is_left_at_the_same_place_of_its_loop() {
    let places = || {
        let mut machine = case("stuck");
        machine.run(&mut random(1), 100_000).unwrap();
        let waiters = machine.waiters().unwrap();
        waiters.iter().map(|waiter| waiter.registers).collect::<Vec<_>>()
    };
    let first = places();
    for _ in 0..4 {
        assert_eq!(places(), first);
    }
}

#[test]
fn a_loop_that_enables_interrupts_for_a_moment_takes_them() {
    for seed in 0..20 {
        for name in ["window", "window-polled"] {
            assert_eq!(run(name, seed).0, End::Guest { code: 0 }, "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_kernel_that_idles_is_quiet() {
    for seed in 0..20 {
        let (ending, waits, _) = run("idle", seed);
        assert!(matches!(ending, End::Quiet { .. }), "seed {seed}: {ending}");
        assert!(waits.iter().all(|waits| matches!(waits, Waits::ForInterrupt)), "{waits:?}");
    }
}
