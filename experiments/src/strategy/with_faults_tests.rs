//! Tests of the strategy that lets faults strike.

use std::collections::BTreeSet;

use super::*;
use crate::strategy::{RoundRobin, Turn};

const STEP: Choice = Choice::Step(0);

fn lesson(method: Method, faults: u64) -> Lesson {
    Lesson {
        first: 0,
        end: u64::MAX,
        turns: vec![Turn::from(method)],
        length: 0,
        counts: Vec::new(),
        faults,
        wants_paths: false,
    }
}

/// The points at which a fault strikes in a run of 10 points with one place each.
fn strikes(run: u64, method: Method) -> Vec<u64> {
    let mut strategy = WithFaults::new(Box::new(RoundRobin), 1);
    strategy.begin(run, &lesson(method, 10));
    let faults = [Choice::Fault(0, 1)];
    let point =
        |number| Point { number, enabled: &[STEP], faults: &faults, last: None, rip: 0, hash: 0 };
    (0..10).filter(|number| strategy.choose(&point(*number)) != STEP).collect()
}

#[test]
fn every_place_is_struck_and_some_runs_have_no_fault() {
    let runs: Vec<_> = (0..300).map(|run| strikes(run, Method::Random)).collect();
    let places: BTreeSet<u64> = runs.iter().flatten().copied().collect();
    assert_eq!(places, (0..10).collect());
    assert!(runs.iter().any(Vec::is_empty));
    assert!(runs.iter().any(|run| run.len() == 1));
    assert!(runs.iter().any(|run| run.len() > 1));
}

#[test]
fn a_run_is_a_function_of_its_number() {
    assert!((0..50).all(|run| strikes(run, Method::Random) == strikes(run, Method::Random)));
}

#[test]
fn a_path_decides_by_itself() {
    assert!((0..100).all(|run| strikes(run, Method::Systematic).is_empty()));
}

#[test]
fn several_places_at_one_point_are_told_apart() {
    let faults = [Choice::Fault(0, 1), Choice::Fault(1, 1)];
    let point = Point { number: 0, enabled: &[STEP], faults: &faults, last: None, rip: 0, hash: 0 };
    let mut seen = BTreeSet::new();
    for run in 0..100 {
        let mut strategy = WithFaults::new(Box::new(RoundRobin), 1);
        strategy.begin(run, &lesson(Method::Random, 2));
        seen.insert(strategy.choose(&point));
    }
    assert_eq!(seen, BTreeSet::from([STEP, faults[0], faults[1]]));
}
