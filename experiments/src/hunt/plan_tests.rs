use std::collections::BTreeSet;

use super::*;
use crate::hunt::recorder::FaultPlaces;

/// A run with this hash, with one choice between two vCPUs.
fn report(run: u64, hash: u64) -> Report {
    Report {
        run,
        decisions: 5,
        choices: 3,
        points: 7,
        hash,
        counts: vec![(Choice::Step(0), 4), (Choice::Step(1), 1)],
        path: None,
        cut_short: None,
        quiet: false,
        watched: None,
        faults: FaultPlaces::default(),
        struck: BTreeSet::new(),
        finding: None,
        divergence: None,
    }
}

/// The lessons of this number of rounds, if the runs have these hashes.
fn lessons(
    spec: &StrategySpec,
    rounds: usize,
    hash: impl Fn(Method, u64) -> u64,
) -> (Plan, Vec<Arc<Lesson>>) {
    let mut plan = Plan::new(spec);
    let (mut run, mut lessons) = (0, vec![plan.lesson().clone()]);
    while lessons.len() < rounds {
        let method = plan.lesson().turn(run).method;
        plan.take(&report(run, hash(method, run)));
        run += 1;
        lessons.extend(plan.next(run));
    }
    (plan, lessons)
}

fn count(lesson: &Lesson, method: Method) -> usize {
    lesson.turns.iter().filter(|turn| turn.method == method).count()
}

#[test]
fn pct_learns_depth_by_depth() {
    let (_, lessons) = lessons(&StrategySpec::Pct { depth: 3 }, 3, |_, run| run);
    let told: Vec<_> = lessons.iter().map(|l| (l.end, l.turns[0].method, l.length)).collect();
    let expected =
        [(16, Method::Pct(1), 0), (32, Method::Pct(2), 3), (u64::MAX, Method::Pct(3), 3)];
    assert_eq!(told, expected);
    assert_eq!(Plan::new(&StrategySpec::Pct { depth: 1 }).lesson().end, u64::MAX);
    let (_, lessons) = self::lessons(&StrategySpec::Pct { depth: 100 }, 5, |_, run| run);
    assert_eq!((lessons[4].first, lessons[4].turns[0].method), (64, Method::Pct(100)));
}

#[test]
fn the_methods_of_a_portfolio_share_evenly_what_all_find() {
    let (_, lessons) = lessons(&StrategySpec::Portfolio, 8, |_, run| run);
    assert_eq!(lessons[0].turns.len(), 8);
    assert_eq!((count(&lessons[0], Method::Pct(1)), count(&lessons[0], Method::Random)), (4, 4));
    assert_eq!(lessons[0].turns[0].method, Method::Pct(1));
    let last = lessons.last().unwrap();
    assert_eq!((last.turns.len(), last.end - last.first), (256, 256));
    for method in [Method::Random, Method::Uniform, Method::Pct(1), Method::Pct(13)] {
        assert!((31..34).contains(&count(last, method)), "{method}: {}", count(last, method));
    }
    assert_eq!(last.counts, [(Choice::Step(0), 4), (Choice::Step(1), 1)]);
}

/// This holds for any number of rounds.
#[test]
fn every_round_has_runs() {
    for spec in [StrategySpec::Portfolio, StrategySpec::Uniform] {
        let mut plan = Plan::new(&spec);
        for _ in 0..200 {
            let (first, end) = (plan.lesson().first, plan.lesson().end);
            assert!(first < end || first == u64::MAX, "{spec:?}: {first} to {end}");
            assert!(!plan.lesson().turns.is_empty());
            assert!(spec != StrategySpec::Portfolio || end - first <= 256);
            plan.next(end);
        }
    }
}

#[test]
fn a_method_that_repeats_itself_gets_little_but_never_nothing() {
    let repeats = |method, run| if method == Method::Pct(1) { 0 } else { run };
    let (plan, lessons) = lessons(&StrategySpec::Portfolio, 9, repeats);
    let last = lessons.last().unwrap();
    let (few, many) = (count(last, Method::Pct(1)), count(last, Method::Random));
    assert!((1..6).contains(&few) && many > 27, "{few}, {many}");
    let tally = plan.tallies()[&Method::Pct(1)];
    assert_eq!((tally.new, tally.repeats), (1, tally.runs - 1));
}

#[test]
fn rounds_are_a_function_of_the_results() {
    let of = |salt: u64| lessons(&StrategySpec::Portfolio, 9, move |_, run| run * salt % 97).1;
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(0));
}

/// A guest in which threads 0 and 1 have two steps each has 6 interleavings.
#[test]
fn a_small_guest_is_run_to_the_end() {
    let mut plan = Plan::new(&StrategySpec::Portfolio);
    let mut run = 0;
    while !plan.is_exhausted() {
        let turn = plan.lesson().turn(run).clone();
        let mut left = [2, 2];
        let mut path = Vec::new();
        while left[0] > 0 && left[1] > 0 {
            let planned = turn.path.get(path.len()).copied();
            let taken = planned.unwrap_or((run >> path.len() & 1) as u8);
            path.push((taken, 2));
            left[usize::from(taken)] -= 1;
        }
        let hash = path.iter().fold(1, |hash, (taken, _)| hash * 2 + u64::from(*taken));
        plan.take(&Report { path: Some(path), ..report(run, hash) });
        run += 1;
        plan.next(run);
        assert!(run < 100);
    }
    assert_eq!(plan.distinct(), 6);
}

#[test]
fn a_run_that_was_cut_short_proves_nothing() {
    let mut plan = Plan::new(&StrategySpec::Random);
    let cut_short = Some("main+0x1".into());
    plan.take(&Report { path: Some(Vec::new()), cut_short, ..report(0, 1) });
    assert!(!plan.is_exhausted());
    plan.take(&Report { path: Some(Vec::new()), ..report(1, 1) });
    assert!(!plan.is_exhausted(), "the tree is known no more");
    let mut plan = Plan::new(&StrategySpec::Random);
    plan.take(&Report { path: Some(Vec::new()), ..report(0, 1) });
    assert!(plan.is_exhausted());
}
