//! Ending a run that gets nowhere.
//!
//! A vCPU that goes round a loop and keeps a counter in it doesn't repeat itself, so nothing can be
//! proven: the counter may end the loop one day. It is given a budget. When every vCPU that can run
//! has gone on for so many scheduling points, and none has changed anything but state of its own,
//! the machine is taken for hung.

use std::ops::ControlFlow::{self, Break, Continue};

use super::ControlledMachine;
use super::outcome::Ending;
use super::run_out::RunOut;
use crate::choice::Choice;
use crate::error::Result;

/// How long a strategy may go on to choose while nobody makes progress, in scheduling points of each
/// vCPU. The rest of the budget is spent without choices, vCPU by vCPU: as nobody changes anything,
/// their order doesn't matter, and a schedule stays short.
const MAX_CHOSEN_POINTS: u64 = 1000;

/// How many of those points a vCPU passes in a row.
const POINTS_PER_TURN: u64 = 1000;

/// How many points of a loop are looked at for what it reads; less than a trail holds.
const REPORT_POINTS: u64 = 60;

/// How long each vCPU has gone on since the machine last made progress: since a vCPU changed a
/// shared byte, wrote to a port or an interrupt controller, read a clock, took an interrupt, or went
/// to sleep.
#[derive(Clone, Debug)]
pub(super) struct ProgressCounter {
    /// How often there was progress.
    progress: u64,
    /// `progress` when it was last asked for, and the virtual time then.
    still: (u64, u64),
    /// For each vCPU, the points that it has passed, and `progress` at the first of them.
    points: Vec<(u64, u64)>,
}

impl ProgressCounter {
    pub(super) fn new(vcpus: u32) -> Self {
        Self { progress: 0, still: (0, 0), points: vec![(0, 0); vcpus as usize] }
    }

    /// Something has changed that others may see.
    pub(super) fn note(&mut self) {
        self.progress += 1;
    }

    /// How often there was progress.
    pub(super) fn count(&self) -> u64 {
        self.progress
    }

    /// For how long there has been no progress that this was asked about, in virtual nanoseconds.
    pub(super) fn time_without(&mut self, now: u64) -> u64 {
        if self.still.0 != self.progress {
            self.still = (self.progress, now);
        }
        now.saturating_sub(self.still.1)
    }

    /// A vCPU has passed a scheduling point.
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
    /// Scheduling points that a vCPU may go on without progress, by default.
    pub const HANG_BUDGET: u64 = 20_000;

    /// How many scheduling points each vCPU may go on without any progress of the machine, before
    /// that is called a hang. 0 is taken for 1.
    pub fn set_hang_budget(&mut self, points: u64) {
        self.hang_budget = points.max(1);
    }

    /// Whether a vCPU has gone on for long without progress.
    pub(super) fn lacks_progress(&self, vcpu: u32) -> bool {
        self.progress.points(vcpu) >= self.hang_budget.min(MAX_CHOSEN_POINTS)
    }

    /// Whether whatever is chosen of these, a vCPU goes on that has done so for long without progress.
    pub(super) fn lack_progress(&self, choices: &[Choice]) -> bool {
        choices.iter().all(|choice| match choice {
            Choice::Step(vcpu) => self.lacks_progress(*vcpu),
            Choice::Interrupt(_) => false,
        })
    }

    /// Spends the rest of the hang budget, if nobody has made progress for long. `Some` if the run is
    /// over: it hangs, or it has ended otherwise.
    pub(super) fn spend_hang_budget(&mut self, budget: u64) -> Result<Option<Ending>> {
        // Not whether the one that ran last is idle: a run may be made in pieces, and end and begin
        // in the middle of this.
        let vcpus = 0..self.vcpus.len() as u32;
        if !vcpus.clone().any(|vcpu| self.lacks_progress(vcpu)) || !self.is_stuck() {
            return Ok(None);
        }
        let spinning: Vec<u32> = vcpus.filter(|vcpu| self.spins(*vcpu)).collect();
        // By turns, so that one that does get on is not kept waiting by one that doesn't. Whose turn
        // it is follows from the points alone: a run may be made in pieces.
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
        // Once more, for the report: what do they read?
        for vcpu in &spinning {
            self.vcpus[*vcpu as usize].tracker.clear();
            if let Break(ending) = self.spin(*vcpu, REPORT_POINTS, u64::MAX)? {
                return Ok(ending);
            }
        }
        // They may give up after more turns than that.
        if let RunOut::Left(ending) = self.run_out(&spinning)? {
            return Ok(ending);
        }
        Ok(Some(self.hang(false)))
    }

    /// Nothing else can happen than that the vCPUs go round for another time, and some do so by choice:
    /// if all wait, that is to be proven.
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

    /// Lets a vCPU go on. A break if that was not for nothing: the run is over, or goes on.
    fn spin(&mut self, vcpu: u32, points: u64, budget: u64) -> Result<ControlFlow<Option<Ending>>> {
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
#[path = "livelock_tests.rs"]
mod tests;
