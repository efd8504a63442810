//! A schedule told by its switches: at this place of this vCPU, that happens instead.
//!
//! A place is an instruction and the how-many-th time the vCPU came there, so a switch still means
//! the same when another one has been taken away or moved.

use vmm::controlled::{Choice, Point};

use super::executor::{Decide, Run};
use super::schedule_state::{ProgramPoint, ScheduleState};

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The vCPU that ran last.
    pub from: u32,
    /// Where it stands.
    pub at: ProgramPoint,
    /// What happens.
    pub to: Choice,
}

/// The switches of a run.
pub(super) fn switches(run: &Run) -> Vec<Switch> {
    run.deviations().into_iter().filter_map(|at| switch(run, at)).collect()
}

/// The switch at this step of a run; `None` at the very first point of a machine.
pub(super) fn switch(run: &Run, at: usize) -> Option<Switch> {
    let step = run.steps.get(at)?;
    let (from, at) = step.left?;
    Some(Switch { from, at, to: step.choice })
}

/// Lets everything go on by itself, but for these switches, one after the other. One whose place
/// doesn't come is left out as soon as a later one's does.
#[derive(Clone, Debug)]
pub(super) struct Switching<'a>(pub(super) &'a [Switch]);

impl Decide for Switching<'_> {
    fn decide(
        &mut self,
        point: &Point,
        schedule_state: &ScheduleState,
        by_itself: Choice,
    ) -> Choice {
        let here = |switch: &Switch| {
            point.last == Some(switch.from)
                && schedule_state.program_points[switch.from as usize] == switch.at
                && point.enabled.contains(&switch.to)
        };
        match self.0.iter().position(here) {
            Some(number) => {
                let to = self.0[number].to;
                self.0 = &self.0[number + 1..];
                to
            }
            None => by_itself,
        }
    }
}
