use super::*;
use crate::controlled::testing::{machine, random};
use crate::controlled::{Choice, Ending, Point};

const BUDGET: u64 = 100_000;

/// Runs on at random; what it came to, and the choices.
fn run(machine: &mut ControlledMachine, seed: u64) -> ((Ending, u64, u64), Vec<Choice>) {
    let mut random = random(seed);
    let mut choices = Vec::new();
    let mut choose = |point: &Point| {
        let choice = random(point);
        choices.push(choice);
        choice
    };
    let ending = machine.run(&mut choose, BUDGET).unwrap();
    ((ending, machine.points(), machine.hash()), choices)
}

/// Follows these choices from the start.
fn follow(guest: &str, choices: &[Choice]) -> (Ending, u64, u64) {
    let mut machine = machine(guest);
    let mut next = choices.iter();
    let ending = machine.run(&mut |_: &Point| *next.next().unwrap(), BUDGET).unwrap();
    (ending, machine.points(), machine.hash())
}

/// To the mark, each vCPU in turn.
fn to_mark(machine: &mut ControlledMachine) -> Vec<Choice> {
    let mut choices = Vec::new();
    let mut choose = |point: &Point| {
        let after = |choice: &&Choice| point.last.is_none_or(|last| choice.vcpu() > last);
        let choice = *point.enabled.iter().find(after).unwrap_or(&point.enabled[0]);
        choices.push(choice);
        choice
    };
    assert_eq!(machine.run_to_mark(&mut choose, BUDGET).unwrap(), None);
    choices
}

#[test]
fn a_run_from_the_mark_is_the_one_from_the_start() {
    // A counter, an IPI, page tables, INIT and SIPI after the mark, a triple fault.
    for guest in ["lost-update", "lost-wakeup", "tlb-shootdown", "tsc-sync", "ap-stack"] {
        let mut machine = machine(guest);
        let prefix = to_mark(&mut machine);
        let snapshot = machine.save().unwrap();
        assert!(snapshot.bytes() > 0 && snapshot.points() == prefix.len() as u64);
        for seed in 0..8 {
            machine.restore(&snapshot).unwrap();
            let (came_to, choices) = run(&mut machine, seed);
            let all: Vec<_> = prefix.iter().chain(&choices).copied().collect();
            assert_eq!(follow(guest, &all), came_to, "{guest}, seed {seed}");
        }
    }
}

#[test]
fn a_run_from_the_middle_is_the_one_from_the_start() {
    for guest in ["lost-update", "tlb-shootdown", "tsc-sync", "irq-mainline"] {
        let mut machine = machine(guest);
        let start = machine.save().unwrap();
        assert_eq!(start.points(), 0);
        let (came_to, choices) = run(&mut machine, 1);
        // Every few points, in the middle of everything, and between them from one to another.
        let mut snapshots = Vec::new();
        machine.restore(&start).unwrap();
        let mut next = choices.iter();
        while machine.points() + 7 < came_to.1 {
            let budget = machine.points() + 7;
            let ending = machine.run(&mut |_: &Point| *next.next().unwrap(), budget).unwrap();
            assert_eq!(ending, Ending::Budget);
            snapshots.push(machine.save().unwrap());
        }
        assert!(snapshots.len() > 3, "{guest}");
        for snapshot in snapshots.iter().rev().chain(&snapshots) {
            machine.restore(snapshot).unwrap();
            let mut next = choices[snapshot.points() as usize..].iter();
            let ending = machine.run(&mut |_: &Point| *next.next().unwrap(), BUDGET).unwrap();
            let now = (ending, machine.points(), machine.hash());
            assert_eq!(now, came_to, "{guest}, from point {}", snapshot.points());
        }
    }
}

#[test]
fn another_machines_snapshot_is_refused() {
    let snapshot = machine("lost-update").save().unwrap();
    let error = machine("lost-update").restore(&snapshot).unwrap_err();
    assert_eq!(error.to_string(), "no snapshot: it is another machine's");
}
