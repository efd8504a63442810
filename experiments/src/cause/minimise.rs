//! Searches for the fewest switches that still make the guest fail.
//!
//! Schedules are tried by their number of switches: none, then each place for one switch, then each
//! pair of places, as CHESS (OSDI 2008) and PERIOD (ICSE 2022) do. Between two switches the run is
//! non-preemptive (`schedule_state.rs`). A switch to a vCPU is tried only once for all places
//! between which nothing conflicts with what that vCPU then does. After the first failure,
//! schedules with fewer preemptions and one more switch are tried, as long as the budget allows.
//!
//! If that doesn't lead to the failure, the finding's own schedule is shortened switch by switch
//! (`shorten.rs`). Since schedules fail because of an order and not because of a set of switches,
//! what remains is run and checked each time, in order.

use vmm::controlled::Choice;

use super::executor::{Executor, Run, undisturbed};
use super::failure::Failure;
use super::schedule_state::EnabledTransition;
use super::shorten::shorten;
use super::trace::Step;

/// The limits of a search for a cause.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs of the search for the shortest schedule.
    pub runs: u64,
    /// Scheduling points of these runs together. (The limit is not a time, because the result must
    /// not depend on how busy the host is.)
    pub points: u64,
    /// Runs for each figure of the tests.
    pub trials: u32,
    /// Runs for each failure rate along the schedule.
    pub samples: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { runs: 4000, points: 400_000, trials: 100, samples: 24 }
    }
}

/// The maximum number of switches in a schedule of the systematic search.
const MAX_SWITCHES: usize = 4;
/// The distances from the last switch, in steps, at which the next one is tried: first up to 8,
/// then up to 32, then all others.
const WINDOWS: [usize; 4] = [0, 8, 32, usize::MAX];
/// After the first failing schedule, schedules with fewer preemptions are searched for with as many
/// runs as there have been so far, or with this number of runs if that is more.
const FEWER: u64 = 50;
/// The minimum number of steps between two snapshots along a run.
const EVERY: usize = 4;
/// The maximum number of snapshots along a run.
const SNAPSHOTS: usize = 256;

/// The result of the search.
pub(super) struct Minimal {
    pub(super) run: Run,
    /// Whether the schedule is the shortest that a search by number of switches finds; otherwise it
    /// is the finding's own, shortened.
    pub(super) systematic: bool,
    /// If present: all schedules with fewer preemptions and at most this number of switches pass.
    pub(super) excluded: Option<usize>,
}

/// A run whose schedule may get another switch.
struct Node {
    run: Run,
    /// The first step after its last switch.
    from: usize,
    preemptions: usize,
}

/// The latest switch to a choice that was tried, and what the chosen vCPU then did.
#[derive(Clone)]
struct Latest {
    choice: Choice,
    preempts: bool,
    segment: Vec<Step>,
}

/// Searches for the shortest schedule that fails in the same way.
pub(super) fn minimise(
    executor: &mut Executor,
    failure: &Failure,
    found: Run,
    limits: &Limits,
) -> vmm::Result<Minimal> {
    let mut search = Search {
        failure,
        runs: executor.runs + limits.runs,
        until: executor.points.saturating_add(limits.points),
        best: None,
    };
    let root = executor.run(&[], &mut undisturbed)?;
    if root.failure.as_ref() == Some(failure) {
        return Ok(Minimal { run: root, systematic: true, excluded: Some(0) });
    }
    let mut nodes = vec![Node { run: root, from: 0, preemptions: 0 }];
    let mut excluded = None;
    for level in 1..=MAX_SWITCHES {
        nodes = search.extend(executor, &nodes)?;
        match &search.best {
            Some((_, at)) if *at < level => {
                excluded = (!search.is_over(executor)).then_some(level);
                break;
            }
            _ if search.is_over(executor) => break,
            _ => {}
        }
    }
    let (run, systematic) = match search.best {
        Some((run, _)) => (run, true),
        None => (
            shorten(executor, failure, found, executor.points.saturating_add(limits.points))?,
            false,
        ),
    };
    let excluded = if run.preemptions() == 0 { Some(MAX_SWITCHES) } else { excluded };
    Ok(Minimal { run, systematic, excluded })
}

struct Search<'a> {
    failure: &'a Failure,
    /// The end of the budget, in runs and in scheduling points.
    runs: u64,
    until: u64,
    /// The best failing run so far, and its number of switches.
    best: Option<(Run, usize)>,
}

impl Search<'_> {
    fn is_over(&self, executor: &Executor) -> bool {
        executor.runs >= self.runs || executor.points >= self.until
    }

    /// Whether a schedule with this number of preemptions would be better than the best one.
    fn wants(&self, preemptions: usize) -> bool {
        self.best.as_ref().is_none_or(|(best, _)| preemptions < best.preemptions())
    }

    /// Gives each node another switch.
    fn extend(&mut self, executor: &mut Executor, nodes: &[Node]) -> vmm::Result<Vec<Node>> {
        let mut order: Vec<&Node> = nodes.iter().collect();
        order.sort_by_key(|node| node.preemptions);
        let mut children = Vec::new();
        let mut latest: Vec<Vec<Latest>> = vec![Vec::new(); order.len()];
        for window in WINDOWS.windows(2) {
            for (node, latest) in order.iter().zip(&mut latest) {
                let end = node.run.steps.len();
                let from = node.from.saturating_add(window[0]).min(end);
                let to = node.from.saturating_add(window[1]).min(end);
                if from < to && self.wants(node.preemptions) {
                    self.place(executor, node, (from, to), latest, &mut children)?;
                }
                if self.is_over(executor) {
                    return Ok(children);
                }
            }
        }
        Ok(children)
    }

    /// Tries a switch at each step from `from` to `to`.
    fn place(
        &mut self,
        executor: &mut Executor,
        node: &Node,
        (from, to): (usize, usize),
        latest: &mut Vec<Latest>,
        children: &mut Vec<Node>,
    ) -> vmm::Result<()> {
        let choices = node.run.choices();
        let mut planted = false;
        for at in from..to {
            let step = &node.run.steps[at];
            if let Some(before) = at.checked_sub(1).map(|before| &node.run.steps[before]) {
                latest.retain(|tried| {
                    let offered = |transition: &EnabledTransition| {
                        // A switch that was a preemption there but is free here is worth another
                        // run.
                        transition.choice == tried.choice && transition.preempts >= tried.preempts
                    };
                    let commutes = !tried.segment.iter().any(|other| other.conflicts(before));
                    commutes && step.transitions.iter().any(offered)
                });
            }
            for transition in &step.transitions {
                let preemptions = node.preemptions + usize::from(transition.preempts);
                let known = latest.iter().any(|tried| tried.choice == transition.choice);
                if transition.choice == step.choice || known || !self.wants(preemptions) {
                    continue;
                }
                if self.is_over(executor) {
                    return Ok(());
                }
                if !planted {
                    executor.plant(&node.run, from, to, EVERY.max((to - from) / SNAPSHOTS))?;
                    planted = true;
                }
                let mut prefix = choices[..at].to_vec();
                prefix.push(transition.choice);
                let run = executor.run(&prefix, &mut undisturbed)?;
                let EnabledTransition { choice, preempts } = *transition;
                latest.push(Latest { choice, preempts, segment: run.segment(at).to_vec() });
                if run.failure.as_ref() == Some(self.failure) {
                    let switches = run.deviations().len();
                    tracing::info!(
                        "run {}: {switches} switches fail, {preemptions} preemptions",
                        executor.runs
                    );
                    if self.best.is_none() {
                        self.runs = self.runs.min(executor.runs + executor.runs.max(FEWER));
                    }
                    self.best = Some((run, switches));
                } else {
                    children.push(Node { run, from: at + 1, preemptions });
                }
            }
        }
        Ok(())
    }
}
