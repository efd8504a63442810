//! Ends a run that makes no progress.
//!
//! A vCPU whose loop increments a counter never repeats its state, so nothing can be proven: the
//! counter may end the loop one day. Such loops have a hang budget. When every vCPU that can run
//! has passed this number of scheduling points, and no vCPU has changed anything but its own state,
//! the machine counts as hung.

use std::ops::ControlFlow::{self, Break, Continue};

use super::ControlledMachine;
use super::run_out::RunOut;
use crate::choice::Choice;
use crate::end::End;
use crate::error::Result;

/// The number of scheduling points per vCPU without progress up to which the strategy keeps
/// choosing. The rest of the hang budget is spent without choices, vCPU by vCPU: as no vCPU changes
/// anything, their order doesn't matter, and the schedule stays short.
const MAX_CHOSEN_POINTS: u64 = 1000;

/// The number of these points that a vCPU passes in a row.
const POINTS_PER_TURN: u64 = 1000;

/// The number of points for which a loop's reads are recorded for the report; fewer than a progress
/// tracker holds.
const REPORT_POINTS: u64 = 60;

/// Counts the scheduling points of each vCPU since the machine last made progress. The machine
/// makes progress when a vCPU changes a shared byte, writes to a port or an interrupt controller,
/// reads a register that the read itself changes, takes an interrupt, or goes to sleep. Reading a
/// counter of a timer is not progress.
#[derive(Clone, Debug)]
pub(super) struct ProgressCounter {
    /// The number of times that the machine made progress.
    progress: u64,
    /// The value of `progress` at the latest call of `time_without` that found it changed, and the
    /// virtual time then.
    still: (u64, u64),
    /// For each vCPU, the number of points that it has passed, and `progress` at the first of them.
    points: Vec<(u64, u64)>,
}

impl ProgressCounter {
    pub(super) fn new(vcpus: u32) -> Self {
        Self { progress: 0, still: (0, 0), points: vec![(0, 0); vcpus as usize] }
    }

    /// Records progress: something has changed that other vCPUs may see.
    pub(super) fn note(&mut self) {
        self.progress += 1;
    }

    /// The number of times that the machine made progress.
    pub(super) fn count(&self) -> u64 {
        self.progress
    }

    /// The virtual nanoseconds for which calls of this method have seen no progress.
    pub(super) fn time_without(&mut self, now: u64) -> u64 {
        if self.still.0 != self.progress {
            self.still = (self.progress, now);
        }
        now.saturating_sub(self.still.1)
    }

    /// Records that a vCPU has passed a scheduling point.
    pub(super) fn pass(&mut self, vcpu: u32) {
        let (points, since) = &mut self.points[vcpu as usize];
        if *since != self.progress {
            (*points, *since) = (0, self.progress);
        }
        *points += 1;
    }

    fn points(&self, vcpu: u32) -> u64 {
        let (points, since) = self.points[vcpu as usize];
        if since == self.progress { points } else { 0 }
    }
}

impl ControlledMachine {
    /// The default hang budget: the scheduling points that a vCPU may pass without progress.
    pub const HANG_BUDGET: u64 = 20_000;

    /// Sets the number of scheduling points that each vCPU may pass without any progress of the
    /// machine, before this counts as a hang. 0 is treated as 1.
    pub fn set_hang_budget(&mut self, points: u64) {
        self.hang_budget = points.max(1);
    }

    /// Whether a vCPU has passed this many points without progress that choices for it end.
    pub(super) fn lacks_progress(&self, vcpu: u32) -> bool {
        self.progress.points(vcpu) >= self.hang_budget.min(MAX_CHOSEN_POINTS)
    }

    /// Whether each of these choices runs a vCPU that has passed many points without progress.
    pub(super) fn lack_progress(&self, choices: &[Choice]) -> bool {
        choices.iter().all(|choice| match choice {
            Choice::Step(vcpu) => self.lacks_progress(*vcpu),
            Choice::Interrupt(_) | Choice::Fault(..) => false,
        })
    }

    /// Spends the rest of the hang budget if no vCPU has made progress for long. `Some` if the run
    /// is over: it hangs, or it has ended otherwise.
    pub(super) fn spend_hang_budget(&mut self, budget: u64) -> Result<Option<End>> {
        // This looks at all vCPUs, not only at the one that ran last: a run may be executed in
        // pieces, and a piece may begin or end at any point of this.
        let vcpus = 0..self.vcpus.len() as u32;
        if !vcpus.clone().any(|vcpu| self.lacks_progress(vcpu)) || !self.is_stuck() {
            return Ok(None);
        }
        let spinning: Vec<u32> = vcpus.filter(|vcpu| self.spins(*vcpu)).collect();
        // The vCPUs take turns, so that a vCPU that does make progress does not wait for one that
        // doesn't. The turns follow from the points alone, because a run may be executed in pieces.
        let turn = |machine: &Self, vcpu: u32| {
            let points = machine.progress.points(vcpu);
            let missing = machine.hang_budget.saturating_sub(points);
            (missing > 0).then(|| {
                (
                    points / POINTS_PER_TURN,
                    vcpu,
                    missing.min(POINTS_PER_TURN - points % POINTS_PER_TURN),
                )
            })
        };
        while let Some((_, vcpu, points)) =
            spinning.iter().filter_map(|vcpu| turn(self, *vcpu)).min()
        {
            if let Break(ending) = self.spin(vcpu, points, budget)? {
                return Ok(ending);
            }
        }
        // Each loop runs once more, to record for the report what it reads.
        for vcpu in &spinning {
            self.vcpus[*vcpu as usize].tracker.clear();
            if let Break(ending) = self.spin(*vcpu, REPORT_POINTS, u64::MAX)? {
                return Ok(ending);
            }
        }
        // The loops may give up after more iterations than that.
        if let RunOut::Left(ending) = self.run_out(&spinning)? {
            return Ok(ending);
        }
        Ok(Some(self.hang(false)))
    }

    /// Whether nothing else can happen than further iterations of loops, at least one of which is
    /// not waiting: if all vCPUs wait, the hang has to be proven instead.
    fn is_stuck(&mut self) -> bool {
        let mut enabled = Vec::new();
        self.list_enabled(&mut enabled);
        !enabled.is_empty()
            && self.lack_progress(&enabled)
            && self.platform.next_deadline().is_none()
            && self.next_release().is_none()
            && self.next_look().is_none()
    }

    fn spins(&self, vcpu: u32) -> bool {
        let ctx = &self.vcpus[vcpu as usize];
        ctx.is_ready() || ctx.state.waits()
    }

    /// Lets a vCPU run for some points. Breaks if this brought the run to an end, to its budget, or
    /// to progress.
    fn spin(&mut self, vcpu: u32, points: u64, budget: u64) -> Result<ControlFlow<Option<End>>> {
        let progress = self.progress.progress;
        for _ in 0..points {
            if self.points >= budget {
                return Ok(Break(None));
            }
            let ending = self.take(Choice::Step(vcpu))?;
            if ending.is_some() || self.progress.progress != progress {
                return Ok(Break(ending));
            }
        }
        Ok(Continue(()))
    }
}

#[cfg(test)]
#[path = "hang_budget_tests.rs"]
mod tests;
