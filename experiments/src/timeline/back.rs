//! Moves backwards.

use std::sync::Arc;

use vmm::controlled::{Choice, Granularity, Point};
use vmm::end::End;

use super::places::Place;
use super::watcher::{Hit, Recording};
use super::{Poll, Position, Result, Stop, Timeline, TimelineError, Why};
use crate::replay::Follower;

impl Timeline<'_> {
    /// Undoes the last instruction that a vCPU has executed, and what other vCPUs have done since.
    pub fn step_back(&mut self, vcpu: u32) -> Result<Stop> {
        if let Position::At { point, executed } = self.position
            && executed > 0
            && self.vcpu() == vcpu
        {
            return self.arrive(Position::At { point, executed: executed - 1 }, Why::Step);
        }
        let mut upper = self.upper();
        for place in self.places_before(upper) {
            let steps = self.steps(&place, upper)?;
            for (point, _) in steps.into_iter().rev().filter(|(_, by)| *by == vcpu) {
                self.run_to(point)?;
                let (walk, _) = self.walk(u64::MAX, Recording::Nothing)?;
                self.check_length(&walk)?;
                let instructions = walk.boundaries.last().map_or(0, |last| last.executed);
                // The step that ends the run is not complete.
                let is_one = self.config.granularity == Granularity::Instruction;
                if instructions > 0 || is_one || walk.ending.is_some() {
                    let executed = instructions.saturating_sub(1);
                    return self.arrive(Position::At { point, executed }, Why::Step);
                }
            }
            upper = place.point();
        }
        let stop = self.begin_of_run()?;
        Ok(Stop { vcpu, ..stop })
    }

    /// Runs backwards to a breakpoint, a watchpoint or the beginning.
    pub fn go_back(&mut self, poll: Poll) -> Result<Stop> {
        if self.watcher.lock().is_empty() {
            return self.begin_of_run();
        }
        if let Position::At { point, executed } = self.position
            && executed > 0
            && let Some(stop) = self.back_in_step(point, executed)?
        {
            return Ok(stop);
        }
        let mut upper = self.upper();
        for place in self.places_before(upper) {
            self.restore(&place)?;
            self.scan(upper, Recording::All)?;
            let hit = self.watcher.lock().last.take();
            if let Some(hit) = hit {
                return self.land_back(&hit);
            }
            upper = place.point();
            if poll() {
                let position = Position::At { point: upper, executed: 0 };
                return self.arrive(position, Why::Interrupted);
            }
        }
        self.begin_of_run()
    }

    /// Goes back to the beginning of the run.
    fn begin_of_run(&mut self) -> Result<Stop> {
        self.arrive(Position::At { point: 0, executed: 0 }, Why::Begin)
    }

    /// The steps before this number of scheduling points are complete at the position.
    fn upper(&self) -> u64 {
        match self.position {
            Position::At { point, .. } => point,
            Position::End => u64::MAX,
        }
    }

    /// The snapshots before this number of scheduling points, the last first.
    fn places_before(&self, upper: u64) -> Vec<Arc<Place>> {
        self.places.iter().rev().filter(|place| place.point() < upper).cloned().collect()
    }

    /// The instructions of a step before `executed`: a breakpoint there, or a watchpoint at the
    /// access that begins the step.
    fn back_in_step(&mut self, point: u64, executed: u64) -> Result<Option<Stop>> {
        self.run_to(point)?;
        let (walk, hit) = self.walk(executed, Recording::Accesses)?;
        let found = {
            let watcher = self.watcher.lock();
            let before = walk.boundaries.iter().filter(|at| at.executed < executed);
            before.rev().find(|at| watcher.breaks_at(at.rip)).map(|at| at.executed)
        };
        if let Some(executed) = found {
            return self.arrive(Position::At { point, executed }, Why::Breakpoint).map(Some);
        }
        hit.map(|hit| self.land_back(&hit)).transpose()
    }

    /// Stops where something was found while the run went backwards.
    fn land_back(&mut self, hit: &Hit) -> Result<Stop> {
        let Some(watchpoint) = &hit.watchpoint else {
            self.run_to(hit.point)?;
            let found = self.breakpoints_in_step()?.pop();
            return self.arrive_at_breakpoint(hit, found);
        };
        let position = Position::At { point: hit.point, executed: 0 };
        let stop = self.arrive(position, Why::Watchpoint(watchpoint.clone()))?;
        Ok(Stop { vcpu: hit.vcpu, ..stop })
    }

    /// The steps from a snapshot to a number of scheduling points: before how many points, and of
    /// which vCPU.
    fn steps(&mut self, place: &Place, upper: u64) -> Result<Vec<(u64, u32)>> {
        self.restore(place)?;
        self.begin(Recording::Nothing);
        let mut steps = Vec::new();
        let mut look = |point: &Point, choice: Choice, _| steps.push((point.number, choice.vcpu()));
        let mut follower = Follower::new(&self.plan, &mut self.cursor, &mut look);
        self.clean = false;
        let budget = upper.min(self.recorded.points.saturating_add(1));
        let ending = self.machine.run(&mut follower, budget)?;
        if let Some(divergence) = follower.divergence.take() {
            return Err(TimelineError::Diverged(divergence));
        }
        self.clean = ending == End::Budget;
        Ok(steps)
    }
}
