//! Searches for the decisive orders: pairs of accesses whose order decides whether a run fails.
//!
//! At each switch of the shortest failing schedule, the vCPU that is switched away from goes on for
//! one access more, then two, and so on, until the run passes; likewise for one access less. The
//! access at which the result changes is one of a pair. It is then moved through what the other
//! vCPU does meanwhile, one conflicting access at a time, until two schedules are found that differ
//! by the order of two adjacent accesses, and one fails and the other passes. (The idea is that of
//! Hermit's `analyze`.)

use vmm::controlled::{Choice, Point};

use super::executor::{Executor, Run, undisturbed};
use super::failure::Failure;
use super::operation::{Operation, differences, operations};
use super::schedule_state::ScheduleState;
use super::switches::{Switch, Switching, switches};
use super::trace::{Step, Target};

/// Two operations in the order that fails, and two runs that differ by it.
#[derive(Clone, Debug)]
pub(super) struct Critical {
    pub(super) first: Operation,
    pub(super) second: Operation,
    pub(super) fails: Run,
    pub(super) passes: Run,
}

impl Critical {
    /// Whether exactly one side is an access. Such an order often follows from another one, so it
    /// is of interest only where it doesn't.
    pub(super) fn is_mixed(&self) -> bool {
        self.first.kind().is_access() != self.second.kind().is_access()
    }
}

/// Whether a run is one that is searched for.
type Wanted<'a> = &'a dyn Fn(&Run) -> bool;

/// The maximum number of orders without an access on either side that are taken from two runs.
const MAX_INTERRUPT_PAIRS: usize = 2;
/// The maximum number of orders with an access on one side only that are taken from two runs.
const MIXED: usize = 5;
/// The maximum number of runs in the search for a switch with which the run passes.
const TRIES: u64 = 300;

/// Finds the pairs of the shortest schedule.
pub(super) fn pairs(
    executor: &mut Executor,
    failure: &Failure,
    minimal: &Run,
) -> vmm::Result<Vec<Critical>> {
    let fails = |run: &Run| run.failure.as_ref() == Some(failure);
    if !minimal.deviations().is_empty() {
        return around_switches(executor, &fails, minimal);
    }
    // The guest fails without a switch. So a switch is searched for with which it passes, and the
    // pairs of that switch are reversed.
    let passes = |run: &Run| run.ending.is_success();
    let found = nearest(executor, &passes, minimal)?.into_iter().filter(|pair| fails(&pair.passes));
    let turned = found.map(|Critical { first, second, fails, passes }| Critical {
        first: second,
        second: first,
        fails: passes,
        passes: fails,
    });
    Ok(turned.collect())
}

/// The pairs of the first schedule with one switch whose run is as wanted.
fn nearest(executor: &mut Executor, wanted: Wanted, root: &Run) -> vmm::Result<Vec<Critical>> {
    let (choices, until) = (root.choices(), executor.runs + TRIES);
    for (at, step) in root.steps.iter().enumerate() {
        for transition in
            step.transitions.iter().filter(|transition| transition.choice != step.choice)
        {
            let mut prefix = choices[..at].to_vec();
            prefix.push(transition.choice);
            let run = executor.run(&prefix, &mut undisturbed)?;
            let pairs =
                if wanted(&run) { around_switches(executor, wanted, &run)? } else { Vec::new() };
            if !pairs.is_empty() || executor.runs >= until {
                return Ok(pairs);
            }
        }
    }
    Ok(Vec::new())
}

/// The pairs around each switch of a run that is as wanted.
fn around_switches(
    executor: &mut Executor,
    wanted: Wanted,
    run: &Run,
) -> vmm::Result<Vec<Critical>> {
    let mut found: Vec<Critical> = Vec::new();
    let (all, deviations) = (switches(run), run.deviations());
    for (number, at) in deviations.iter().enumerate() {
        let around = Around {
            wanted,
            run,
            at: *at,
            earliest: number.checked_sub(1).map_or(0, |before| deviations[before] + 1),
            rest: all.get(number + 1..).unwrap_or_default(),
        };
        let later = around.later(executor)?;
        for critical in later.into_iter().chain(around.earlier(executor)?) {
            let known = found.iter().any(|other| {
                other.first.is_like(&critical.first) && other.second.is_like(&critical.second)
            });
            if !known {
                found.push(critical);
            }
        }
    }
    Ok(found)
}

/// A switch that is moved. A run that is as wanted counts as failing here.
struct Around<'a> {
    wanted: Wanted<'a>,
    run: &'a Run,
    /// The switch's step.
    at: usize,
    /// The first step to which the switch may be moved.
    earliest: usize,
    /// The later switches.
    rest: &'a [Switch],
}

/// An access that may come before or after what another vCPU does.
struct Move<'a> {
    /// The choices before both.
    prefix: &'a [Choice],
    /// The access.
    mover: &'a Step,
    /// What the other vCPU does without a switch.
    others: &'a [Step],
    /// Whether the run fails if the access comes first.
    fails_first: bool,
}

impl Around<'_> {
    fn fails(&self, run: &Run) -> bool {
        (self.wanted)(run)
    }

    /// Lets the vCPU go on for longer before the switch.
    fn later(&self, executor: &mut Executor) -> vmm::Result<Vec<Critical>> {
        let (at, to) = (self.at, self.run.steps[self.at].choice);
        let path = executor.run(&self.run.choices()[..at], &mut undisturbed)?;
        let choices = path.choices();
        let own = path.segment(at).len();
        let mut failing = self.run.clone();
        if path.steps.get(at).is_some_and(|step| step.vcpu() != to.vcpu()) {
            for moved in at..at + own {
                let mover = &path.steps[moved];
                let others = failing.segment(moved).to_vec();
                if !others.iter().any(|other| other.conflicts(mover)) {
                    // No conflicting access was passed, so the run is the same in all that matters.
                    let Some(run) = self.switch_at(executor, &path, moved + 1, to)? else { break };
                    if !self.fails(&run) {
                        break;
                    }
                    failing = run;
                    continue;
                }
                let passing = match self.switch_at(executor, &path, moved + 1, to)? {
                    Some(run) => run,
                    None => path.clone(),
                };
                if self.fails(&passing) {
                    failing = passing;
                    continue;
                }
                let prefix = &choices[..moved];
                let turn = Move { prefix, mover, others: &others, fails_first: false };
                return self.narrow(executor, &turn, failing, passing);
            }
        }
        Ok(if self.fails(&path) { Vec::new() } else { by_difference(&failing, &path) })
    }

    /// Switches earlier.
    fn earlier(&self, executor: &mut Executor) -> vmm::Result<Vec<Critical>> {
        let to = self.run.steps[self.at].choice;
        let mut failing = self.run.clone();
        let own = self.at.checked_sub(1).map(|before| self.run.steps[before].vcpu());
        for moved in (self.earliest..self.at).rev() {
            let mover = &self.run.steps[moved];
            if Some(mover.vcpu()) != own || mover.vcpu() == to.vcpu() {
                break;
            }
            let own_run = self.run;
            let Some(run) = self.switch_at(executor, own_run, moved, to)? else { break };
            if self.fails(&run) {
                failing = run;
                continue;
            }
            let others = run.segment(moved).to_vec();
            let prefix = &own_run.choices()[..moved];
            let turn = Move { prefix, mover, others: &others, fails_first: true };
            return self.narrow(executor, &turn, failing, run);
        }
        Ok(Vec::new())
    }

    /// Follows a run up to this step, and switches there; `None` if the switch is not possible
    /// there.
    fn switch_at(
        &self,
        executor: &mut Executor,
        path: &Run,
        at: usize,
        to: Choice,
    ) -> vmm::Result<Option<Run>> {
        let possible =
            |step: &Step| step.transitions.iter().any(|transition| transition.choice == to);
        if !path.steps.get(at).is_some_and(possible) {
            return Ok(None);
        }
        let mut prefix = path.choices()[..at].to_vec();
        prefix.push(to);
        executor.run(&prefix, &mut Switching(self.rest)).map(Some)
    }

    /// Moves an access through what the other vCPU does, until the result changes.
    fn narrow(
        &self,
        executor: &mut Executor,
        turn: &Move,
        failing: Run,
        passing: Run,
    ) -> vmm::Result<Vec<Critical>> {
        // Begins with the access before all steps of the other vCPU, and then puts it after more
        // and more of them.
        let (mut before, last) =
            if turn.fails_first { (failing, passing) } else { (passing, failing) };
        let conflicts: Vec<usize> = (0..turn.others.len())
            .filter(|number| turn.others[*number].conflicts(turn.mover))
            .collect();
        for (index, number) in conflicts.iter().enumerate() {
            let behind = if index + 1 == conflicts.len() {
                Some(last.clone())
            } else {
                self.put_behind(executor, turn, number + 1)?
            };
            let Some(behind) = behind else { break };
            if self.fails(&behind) == turn.fails_first {
                before = behind;
                continue;
            }
            let (fails, passes) =
                if turn.fails_first { (before, behind) } else { (behind, before) };
            let (access, other) = (turn.mover, &turn.others[*number]);
            let (first, second) = if turn.fails_first { (access, other) } else { (other, access) };
            return Ok(critical(first, second, &fails, &passes));
        }
        let (fails, passes) = if turn.fails_first { (before, last) } else { (last, before) };
        Ok(by_difference(&fails, &passes))
    }

    /// Puts the access after `number` steps of the other vCPU, which then goes on.
    fn put_behind(
        &self,
        executor: &mut Executor,
        turn: &Move,
        number: usize,
    ) -> vmm::Result<Option<Run>> {
        let mut prefix = turn.prefix.to_vec();
        prefix.extend(turn.others[..number].iter().map(|step| step.choice));
        let (at, access) = (prefix.len(), turn.mover.choice);
        prefix.push(access);
        let mut rest = Switching(self.rest);
        let mut back = turn.others.get(number).map(|step| step.choice);
        let mut go_on = |point: &Point, schedule_state: &ScheduleState, by_itself: Choice| {
            if let Some(back) = back.take().filter(|back| point.enabled.contains(back)) {
                return back;
            }
            super::executor::Decide::decide(&mut rest, point, schedule_state, by_itself)
        };
        let run = executor.run(&prefix, &mut go_on)?;
        Ok(run.steps.get(at).is_some_and(|step| step.choice == access).then_some(run))
    }
}

/// The pair of two steps, if both access memory, and the other orders by which two runs differ.
fn critical(first: &Step, second: &Step, fails: &Run, passes: &Run) -> Vec<Critical> {
    let memory = |step: &Step| matches!(&step.access, Some(access) if matches!(access.target, Target::Memory(_)));
    if !memory(first) || !memory(second) {
        return by_difference(fails, passes);
    }
    let find = |run: &Run, step: &Step| {
        operations(run).into_iter().map(|(_, operation)| operation).find(|operation| {
            operation.vcpu == step.vcpu()
                && operation.program_point == step.program_point
                && operation.kind().is_access()
        })
    };
    // The second access may never happen in the failing run, and the first not in the passing one.
    let first = find(fails, first).or_else(|| find(passes, first));
    let second = find(fails, second).or_else(|| find(passes, second));
    let (fails, passes) = (fails.clone(), passes.clone());
    let mut found = by_interrupts(&fails, &passes);
    if let (Some(first), Some(second)) = (first, second) {
        found.insert(0, Critical { first, second, fails, passes });
    }
    found
}

/// The first two conflicting accesses whose order differs, and the orders with other operations.
fn by_difference(fails: &Run, passes: &Run) -> Vec<Critical> {
    let all = differences(fails, passes);
    let accesses = |(first, second): &&(Operation, Operation)| {
        first.kind().is_access() && second.kind().is_access()
    };
    let first = all.iter().find(accesses).cloned();
    // An access may come too early or too late for an operation that isn't an access.
    let mut mixed: Vec<(Operation, Operation)> = Vec::new();
    for pair in all.iter().filter(|pair| !accesses(pair) && !decides_alone(pair)) {
        let known =
            |(one, two): &(Operation, Operation)| one.is_like(&pair.0) && two.same_site(&pair.1);
        if mixed.len() < MIXED && !mixed.iter().any(known) {
            mixed.push(pair.clone());
        }
    }
    let found = first.into_iter().chain(mixed);
    let mut found: Vec<Critical> = found.map(|pair| of_runs(pair, fails, passes)).collect();
    found.extend(by_interrupts(fails, passes));
    found
}

/// The orders of which neither side is an access.
fn by_interrupts(fails: &Run, passes: &Run) -> Vec<Critical> {
    let all =
        differences(fails, passes).into_iter().filter(decides_alone).take(MAX_INTERRUPT_PAIRS);
    all.map(|pair| of_runs(pair, fails, passes)).collect()
}

fn of_runs((first, second): (Operation, Operation), fails: &Run, passes: &Run) -> Critical {
    let (fails, passes) = (fails.clone(), passes.clone());
    Critical { first, second, fails, passes }
}

fn decides_alone((first, second): &(Operation, Operation)) -> bool {
    !first.kind().is_access() && !second.kind().is_access()
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
