use super::*;
use crate::controlled::testing::{machine, machine_at, random};
use crate::controlled::{Choice, Granularity, Point};

const BUDGET: u64 = 100_000;

/// Runs a guest at random: its choices, and the result.
fn choices_of(machine: &mut ControlledMachine, seed: u64) -> (Vec<Choice>, (End, u64, u64)) {
    let (mut random, mut choices) = (random(seed), Vec::new());
    let mut choose = |point: &Point| {
        let choice = random(point);
        choices.push(choice);
        choice
    };
    let ending = machine.run(&mut choose, BUDGET).unwrap();
    let result = (ending, machine.points(), machine.hash());
    (choices, result)
}

#[test]
fn a_run_that_is_walked_through_is_the_same() {
    // Guests with locks, IPIs and handlers, and with a clock.
    for guest in ["lost-update", "lost-wakeup", "tlb-shootdown", "tsc-sync"] {
        let (choices, result) = choices_of(&mut machine(guest), 5);
        let mut machine = machine(guest);
        let mut next = choices.iter();
        let mut instructions = 0;
        let ending = loop {
            let walk = machine.walk(&mut |_: &Point| *next.next().unwrap(), u64::MAX).unwrap();
            assert!(!walk.stopped);
            let counts = walk.boundaries.windows(2);
            assert!(counts.clone().all(|pair| pair[1].executed == pair[0].executed + 1));
            instructions += walk.boundaries.last().map_or(0, |last| last.executed);
            if let Some(ending) = walk.ending {
                break ending;
            }
        };
        assert_eq!((ending, machine.points(), machine.hash()), result, "{guest}");
        assert!(instructions > result.1, "{guest}: {instructions} instructions");
    }
}

#[test]
fn a_walk_stops_at_the_same_place_each_time() {
    let mut machine = machine("lost-update");
    let (mut choose, mut stops) = (random(3), 0);
    for _ in 0..40 {
        let start = machine.save().unwrap();
        let mut choice = None;
        let mut keep = |point: &Point| *choice.insert(choose(point));
        let whole = machine.walk(&mut keep, u64::MAX).unwrap();
        let Some(choice) = choice.filter(|_| whole.ending.is_none()) else { break };
        let (points, hash) = (machine.points(), machine.hash());
        for boundary in whole.boundaries.iter().filter(|boundary| boundary.executed > 0) {
            let mut stand = || {
                machine.restore(&start).unwrap();
                let walk = machine.walk(&mut |_: &Point| choice, boundary.executed).unwrap();
                assert!(walk.stopped && walk.vcpu == Some(choice.vcpu()));
                assert_eq!(walk.boundaries.last(), Some(boundary));
                machine.standing(choice.vcpu()).unwrap()
            };
            let standing = stand();
            assert_eq!((standing.registers.rip, &standing), (boundary.rip, &stand()));
            stops += 1;
        }
        machine.restore(&start).unwrap();
        machine.run(&mut |_: &Point| choice, points).unwrap();
        assert_eq!((machine.points(), machine.hash()), (points, hash));
    }
    assert!(stops > 40, "{stops} stops");
}

#[test]
fn a_step_is_one_instruction_at_instruction_granularity() {
    let mut machine = machine_at("lost-update", Granularity::Instruction);
    let rip = machine.standing(0).unwrap().registers.rip;
    let walk = machine.walk(&mut |point: &Point| point.enabled[0], u64::MAX).unwrap();
    assert_eq!(walk.boundaries, [Boundary { executed: 0, rip }]);
    assert_eq!((walk.vcpu, walk.stopped, machine.points()), (Some(0), false, 1));
}
