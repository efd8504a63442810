//! Describes a schedule by its switches: at this program point of this vCPU, this choice is taken
//! instead of the non-preemptive continuation.
//!
//! A program point is an instruction and how many times the vCPU has come there, so a switch still
//! means the same when another one has been removed or moved.

use vmm::controlled::{Choice, Point};

use super::executor::{Decide, Run};
use super::schedule_state::{ProgramPoint, ScheduleState};

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The vCPU that ran last.
    pub from: u32,
    /// Its program point.
    pub at: ProgramPoint,
    /// The choice.
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

/// Takes the non-preemptive continuation except at these switches, one after the other. A switch
/// whose place is not reached is skipped as soon as the place of a later one is.
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
