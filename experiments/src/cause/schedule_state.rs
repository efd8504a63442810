//! The state of a schedule at a scheduling point: where each vCPU is, whether a switch is a
//! preemption, and the non-preemptive continuation.
//!
//! *The non-preemptive continuation*: the vCPU that ran last goes on while it can; when it can't,
//! the vCPU that ran most recently among those that can. An interrupt is taken as soon as it can
//! be. So a schedule is described by the few points at which something else happens.
//!
//! *Preemptions*: a switch away from a vCPU that could go on is a preemption, and so is holding an
//! interrupt back. A switch is free where the vCPU can't go on, and if it is to a vCPU that the
//! very last step woke: on real CPUs both would then run.

use std::collections::HashMap;

use vmm::controlled::{Choice, Point};

/// After this number of points in a row, another vCPU gets its turn: a loop that waits and counts
/// meanwhile would otherwise go on for ever.
const MAX_CONSECUTIVE_POINTS: u64 = 1000;

/// Where a vCPU is: before the access of this instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProgramPoint {
    /// The RIP at the exit; 0 for a vCPU that has not run yet.
    pub rip: u64,
    /// How many times the vCPU has come there, from 1. An iteration of a loop that changes nothing
    /// doesn't count.
    pub visit: u32,
}

/// A transition that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnabledTransition {
    /// The choice.
    pub choice: Choice,
    /// Whether choosing it is a preemption.
    pub preempts: bool,
}

/// The state of a run so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ScheduleState {
    /// The program point of each vCPU.
    pub(super) program_points: Vec<ProgramPoint>,
    /// For each vCPU and RIP: the number of visits, and the vCPU's progress at the last one.
    visits: HashMap<(u32, u64), (u32, u64)>,
    /// The vCPUs that have run, the latest one last.
    recent: Vec<u32>,
    streak: u64,
    /// The choices at the previous point.
    before: Vec<Choice>,
}

impl ScheduleState {
    pub(super) fn new(vcpus: u32) -> Self {
        Self { program_points: vec![ProgramPoint::default(); vcpus as usize], ..Self::default() }
    }

    /// Updates the state on arrival at a scheduling point. `progress` returns how many times a vCPU
    /// has changed something that other vCPUs see.
    pub(super) fn arrive(&mut self, point: &Point, progress: impl FnOnce(u32) -> u64) {
        let Some(last) = point.last else { return };
        let progress = progress(last);
        let (visit, then) =
            self.visits.entry((last, point.rip)).or_insert((0, progress.wrapping_sub(1)));
        if *then != progress {
            (*visit, *then) = (*visit + 1, progress);
        }
        self.program_points[last as usize] = ProgramPoint { rip: point.rip, visit: *visit };
    }

    /// The choices at this point, and whether each is a preemption.
    pub(super) fn transitions(&self, point: &Point) -> Vec<EnabledTransition> {
        let goes_on = point.last.is_some_and(|last| is_enabled(point, last));
        let transition = |choice: &Choice| {
            let switches = Some(choice.vcpu()) != point.last;
            let woken = !self.before.contains(choice);
            let holds = matches!(choice, Choice::Step(vcpu)
                if point.enabled.contains(&Choice::Interrupt(*vcpu)));
            EnabledTransition { choice: *choice, preempts: switches && goes_on && !woken || holds }
        };
        point.enabled.iter().map(transition).collect()
    }

    /// The non-preemptive continuation.
    pub(super) fn goes_on(&self, point: &Point) -> Choice {
        let of = |vcpu: u32| {
            [Choice::Interrupt(vcpu), Choice::Step(vcpu)]
                .into_iter()
                .find(|choice| point.enabled.contains(choice))
        };
        let recent = |vcpu: u32| self.recent.iter().position(|other| *other == vcpu);
        let tired = self.streak >= MAX_CONSECUTIVE_POINTS;
        let last = point.last.filter(|_| !tired).and_then(of);
        let vcpus = point.enabled.iter().map(|choice| choice.vcpu());
        let other = if tired {
            vcpus.min_by_key(|vcpu| recent(*vcpu))
        } else {
            // Of several vCPUs that never ran, the first.
            vcpus.rev().max_by_key(|vcpu| recent(*vcpu))
        };
        last.or_else(|| of(other?)).unwrap_or(point.enabled[0])
    }

    /// Updates the state with the choice at this point.
    pub(super) fn choose(&mut self, point: &Point, choice: Choice) {
        let vcpu = choice.vcpu();
        self.streak = if point.last == Some(vcpu) { self.streak + 1 } else { 0 };
        self.recent.retain(|other| *other != vcpu);
        self.recent.push(vcpu);
        self.before.clear();
        self.before.extend_from_slice(point.enabled);
    }
}

fn is_enabled(point: &Point, vcpu: u32) -> bool {
    point.enabled.iter().any(|choice| choice.vcpu() == vcpu)
}

#[cfg(test)]
#[path = "schedule_state_tests.rs"]
mod tests;
