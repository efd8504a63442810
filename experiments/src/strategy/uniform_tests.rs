use std::collections::BTreeMap;

use super::*;

/// The interleaving of two threads with these numbers of events, of which the strategy is given
/// `told`.
fn walk(uniform: &mut Uniform, run: u64, events: [u64; 2], told: [u64; 2]) -> Vec<u32> {
    uniform.start(run, &[(Choice::Step(0), told[0]), (Choice::Step(1), told[1])]);
    let (mut left, mut made) = (events, Vec::new());
    while left.iter().any(|events| *events > 0) {
        let enabled: Vec<_> =
            (0..2).filter(|thread| left[*thread as usize] > 0).map(Choice::Step).collect();
        let point =
            Point { number: 0, enabled: &enabled, faults: &[], last: None, rip: 0, hash: 0 };
        let thread = uniform.choose(&point).vcpu();
        left[thread as usize] -= 1;
        made.push(thread);
    }
    made
}

#[test]
fn each_interleaving_is_as_likely_as_any_other() {
    const RUNS: u64 = 21_000;
    let mut uniform = Uniform::new(1);
    let mut seen = BTreeMap::<_, u64>::new();
    for run in 0..RUNS {
        *seen.entry(walk(&mut uniform, run, [5, 2], [5, 2])).or_default() += 1;
    }
    // 7 over 2 interleavings are possible. Each is expected 1000 times, with a deviation of 31.
    assert_eq!(seen.len(), 21);
    assert!(seen.values().all(|count| (850..1150).contains(count)), "{seen:?}");
}

#[test]
fn a_wrong_expectation_still_takes_every_way() {
    let mut uniform = Uniform::new(2);
    for told in [[0, 0], [1, 9], [40, 2]] {
        let mut seen = std::collections::BTreeSet::new();
        for run in 0..20_000 {
            seen.insert(walk(&mut uniform, run, [3, 2], told));
        }
        assert_eq!(seen.len(), 10, "{told:?}");
    }
}

#[test]
fn a_run_can_be_had_again() {
    let mut uniform = Uniform::new(9);
    let seventh = walk(&mut uniform, 7, [9, 9], [9, 9]);
    walk(&mut uniform, 8, [9, 9], [9, 9]);
    assert_eq!(walk(&mut uniform, 7, [9, 9], [9, 9]), seventh);
}
