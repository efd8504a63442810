//! A scheduling point as the search for a cause sees it: where each vCPU stands, what it costs to
//! let another one run, and who goes on by itself.
//!
//! *Who goes on*: the vCPU that ran last, while it can; an interrupt is taken as soon as it can be.
//! When it can't go on, the one that ran most recently among those that can. So a schedule is told by
//! the few points at which something else happens.
//!
//! *What it costs*: a switch away from a vCPU that could go on is a preemption, and so is holding an
//! interrupt back. It is free where the vCPU can't go on, and where the other one was woken by the
//! very last step: on real CPUs both would go on then.

use std::collections::HashMap;

use vmm::controlled::{Choice, Point};

/// After so many points in a row somebody else gets his turn: a loop that waits and counts while it
/// does would go on for ever.
const MAX_CONSECUTIVE_POINTS: u64 = 1000;

/// Where a vCPU stands: before the access of this instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProgramPoint {
    /// Its RIP at the exit; 0 for a vCPU that has not run yet.
    pub rip: u64,
    /// The how-many-th time it came there, from 1. Coming round a loop that changes nothing doesn't
    /// count again.
    pub visit: u32,
}

/// Something that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnabledTransition {
    /// What.
    pub choice: Choice,
    /// Whether that is a preemption.
    pub preempts: bool,
}

/// What has to be known of a run so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ScheduleState {
    /// Where each vCPU stands.
    pub(super) program_points: Vec<ProgramPoint>,
    /// For each vCPU and RIP: visits, and the vCPU's progress at the last one.
    visits: HashMap<(u32, u64), (u32, u64)>,
    /// vCPUs that have run, the latest one last.
    recent: Vec<u32>,
    streak: u64,
    /// What was possible at the point before.
    before: Vec<Choice>,
}

impl ScheduleState {
    pub(super) fn new(vcpus: u32) -> Self {
        Self { program_points: vec![ProgramPoint::default(); vcpus as usize], ..Self::default() }
    }

    /// A point has come. `progress` says how often a vCPU has changed something that others see.
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

    /// What can be chosen, and at what cost.
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

    /// Who goes on by itself.
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
            // Of several that never ran, the first.
            vcpus.rev().max_by_key(|vcpu| recent(*vcpu))
        };
        last.or_else(|| of(other?)).unwrap_or(point.enabled[0])
    }

    /// This is chosen.
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
