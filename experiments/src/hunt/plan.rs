//! Plans the runs of the next round from the results of the rounds before.
//!
//! A round is planned when the results of all runs before it have been taken, in the order of their
//! numbers. So a run is a function of the seed and its number, whichever thread makes it and
//! however many runs are made in parallel.

use std::collections::BTreeMap;
use std::sync::Arc;

use vmm::controlled::Choice;

use super::Tally;
use super::interleavings::Interleavings;
use super::tree::Tree;
use super::trial::Report;
use crate::strategy::{Lesson, Method, PCT_ROUND, PCT_ROUNDS, StrategySpec, Turn};

/// The sizes of a portfolio's first round and of its largest; each round doubles the size.
const ROUND: (u64, u64) = (8, 256);
/// The depths of a portfolio's PCT. Bugs deeper than 3 are rare, but an unnecessary priority change
/// does little harm, and more changes find a bug more often: `aba-stack`, of depth 3, fails in
/// 0.2 % of the runs of depth 3 and in 1.3 % of the runs of depth 13.
const DEPTHS: [u32; 6] = [1, 2, 3, 5, 8, 13];
/// The smallest share of a method, in thousandths. A method's share of a round is in proportion to
/// how many of its runs have new interleavings, but it is never less than this: a method that
/// mostly repeats itself may still be the only one that reaches a bug.
const LEAST_SHARE: u64 = 60;

/// Plans the rounds of a search.
#[derive(Debug)]
pub(super) struct Plan {
    spec: StrategySpec,
    lesson: Arc<Lesson>,
    round: u32,
    seen: Interleavings,
    tree: Option<Tree>,
    tallies: BTreeMap<Method, Tally>,
    /// For each method: its runs and its new interleavings, with older rounds weighted less.
    recent: BTreeMap<Method, (u64, u64)>,
    /// PCT's k: the most choices in a PCT run that didn't fail, and in any PCT run. The second is
    /// used only while every run fails: what a guest does after its bug has shown says nothing
    /// about the length of a run.
    choices: (u64, u64),
    /// Decisions for each choice, in runs of any method and in uniform runs.
    any: Counts,
    uniform: Counts,
    /// The most choices in a run that let a fault strike.
    faults: u64,
}

/// How often each choice was made, in this number of runs.
#[derive(Debug, Default)]
struct Counts {
    runs: u64,
    sums: BTreeMap<Choice, u64>,
}

impl Counts {
    fn add(&mut self, counts: &[(Choice, u64)]) {
        self.runs += 1;
        for (choice, count) in counts {
            *self.sums.entry(*choice).or_default() += count;
        }
    }

    /// The mean of each choice per run, rounded to the nearest integer.
    fn means(&self) -> Vec<(Choice, u64)> {
        let mean = |sum: &u64| (sum + self.runs / 2) / self.runs.max(1);
        self.sums.iter().map(|(choice, sum)| (*choice, mean(sum))).collect()
    }
}

impl Plan {
    pub(super) fn new(spec: &StrategySpec) -> Self {
        let mut plan = Self {
            spec: spec.clone(),
            lesson: Arc::new(Lesson {
                first: 0,
                end: 0,
                turns: Vec::new(),
                length: 0,
                counts: Vec::new(),
                faults: 0,
                wants_paths: false,
            }),
            round: 0,
            seen: Interleavings::default(),
            tree: spec.varies().then(Tree::default),
            tallies: BTreeMap::new(),
            recent: BTreeMap::new(),
            choices: (0, 0),
            any: Counts::default(),
            uniform: Counts::default(),
            faults: 0,
        };
        plan.plan();
        plan
    }

    /// The current round.
    pub(super) fn lesson(&self) -> &Arc<Lesson> {
        &self.lesson
    }

    /// The results of each method.
    pub(super) fn tallies(&self) -> &BTreeMap<Method, Tally> {
        &self.tallies
    }

    /// How many different interleavings there were.
    pub(super) fn distinct(&self) -> u64 {
        self.seen.count()
    }

    /// Whether every interleaving has been run.
    pub(super) fn is_exhausted(&self) -> bool {
        self.tree.as_ref().is_some_and(Tree::is_done)
    }

    /// Plans and returns the next round if all runs of the current round have been taken.
    pub(super) fn next(&mut self, runs: u64) -> Option<Arc<Lesson>> {
        if runs < self.lesson.end {
            return None;
        }
        self.round += 1;
        self.plan();
        Some(self.lesson.clone())
    }

    /// Takes the result of a run. Returns whether its interleaving is new; `None` if that isn't
    /// known.
    pub(super) fn take(&mut self, report: &Report) -> Option<bool> {
        let method = self.lesson.turn(report.run).method;
        let new = self.seen.add(report.hash);
        let failed = report.finding.is_some();
        let tally = self.tallies.entry(method).or_default();
        tally.runs += 1;
        tally.failed += u64::from(failed);
        if let Some(new) = new {
            tally.new += u64::from(new);
            tally.repeats = if new { 0 } else { tally.repeats + 1 };
            let (runs, found) = self.recent.entry(method).or_default();
            (*runs, *found) = (*runs + 1, *found + u64::from(new));
        }
        if matches!(method, Method::Pct(_)) {
            let (clean, any) = &mut self.choices;
            *any = report.choices.max(*any);
            if !failed {
                *clean = report.choices.max(*clean);
            }
        }
        self.faults = self.faults.max(report.faults.count);
        let ended = report.cut_short.is_none();
        if ended {
            self.any.add(&report.counts);
            if method == Method::Uniform {
                self.uniform.add(&report.counts);
            }
        }
        // A run that was cut short could have continued in many ways, and a run that diverged has
        // no path.
        let known = match (&mut self.tree, &report.path) {
            (Some(tree), Some(path)) if ended && report.divergence.is_none() => {
                tree.add(path).is_ok()
            }
            _ => false,
        };
        if !known {
            self.tree = None;
        }
        new
    }

    fn plan(&mut self) {
        let first = self.lesson.end;
        let (end, turns) = match self.spec {
            StrategySpec::Portfolio => self.portfolio(first),
            StrategySpec::Random => (u64::MAX, vec![Method::Random.into()]),
            StrategySpec::Uniform => {
                // The rounds double, because after a while further runs hardly change the means.
                (first.saturating_add(first.max(16)), vec![Method::Uniform.into()])
            }
            StrategySpec::Pct { depth } => {
                let lesser = u64::from(depth.saturating_sub(1)).min(PCT_ROUNDS);
                if u64::from(self.round) < lesser {
                    (first + PCT_ROUND, vec![Method::Pct(self.round + 1).into()])
                } else {
                    (u64::MAX, vec![Method::Pct(depth).into()])
                }
            }
            StrategySpec::RoundRobin | StrategySpec::Schedule(_) => {
                (u64::MAX, vec![Method::Fixed.into()])
            }
        };
        let (clean, any) = self.choices;
        let counts = if self.uniform.runs > 8 { &self.uniform } else { &self.any };
        self.lesson = Arc::new(Lesson {
            first,
            end,
            turns,
            length: if clean == 0 { any } else { clean },
            counts: counts.means(),
            faults: self.faults,
            wants_paths: self.tree.is_some(),
        });
    }

    /// A round of all methods.
    fn portfolio(&mut self, first: u64) -> (u64, Vec<Turn>) {
        let (least, most) = ROUND;
        // A left shift silently drops high bits, so the shift is limited.
        let size = (least << self.round.min(most.ilog2())).min(most);
        let mut methods = vec![Method::Pct(1), Method::Random];
        // The other methods need the results of a first round.
        if self.round > 0 {
            methods.push(Method::Uniform);
            let known = DEPTHS.into_iter().skip(1).take(self.round as usize);
            methods.extend(known.map(Method::Pct));
            methods.extend(self.tree.as_ref().map(|_| Method::Systematic));
        }
        let shares = methods.into_iter().map(|method| (method, self.share(method))).collect();
        for (runs, new) in self.recent.values_mut() {
            (*runs, *new) = (*runs / 2, *new / 2);
        }
        let mut turns = deal(shares, size);
        let systematic = turns.iter().filter(|turn| turn.method == Method::Systematic).count();
        let mut ways = self.tree.iter().flat_map(|tree| tree.unseen(systematic));
        for turn in turns.iter_mut().filter(|turn| turn.method == Method::Systematic) {
            match ways.next() {
                Some(path) => turn.path = path,
                None => *turn = Method::Random.into(),
            }
        }
        (first.saturating_add(size), turns)
    }

    fn share(&self, method: Method) -> u64 {
        let (runs, new) = self.recent.get(&method).copied().unwrap_or_default();
        ((new + 1) * 1000 / (runs + 1)).clamp(LEAST_SHARE, 1000)
    }
}

/// Deals `size` turns to the methods in proportion to their shares, as evenly interleaved as
/// possible.
fn deal(shares: Vec<(Method, u64)>, size: u64) -> Vec<Turn> {
    let all: u64 = shares.iter().map(|(_, share)| share).sum();
    let mut owed: Vec<_> = shares.into_iter().map(|(method, share)| (method, share, 0)).collect();
    let mut turns = Vec::new();
    for _ in 0..size {
        for (_, share, owed) in &mut owed {
            *owed += *share as i64;
        }
        // The first of the methods to which most is owed.
        let next = owed.iter_mut().rev().max_by_key(|(_, _, owed)| *owed);
        let Some((method, _, owed)) = next else { break };
        *owed -= all as i64;
        turns.push((*method).into());
    }
    turns
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
