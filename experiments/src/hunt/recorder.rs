//! Writing down what a strategy decides, and the run's hash at each switch.

use vmm::controlled::{Choice, Chooser, Point};

use crate::schedule::Schedule;
use crate::strategy::Strategy;

/// A strategy, and what it has decided in this run.
pub(super) struct Recorder<'a> {
    strategy: &'a mut dyn Strategy,
    pub(super) schedule: Schedule,
    /// 16 hex digits for each stretch of the schedule.
    pub(super) switches: Vec<String>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(strategy: &'a mut dyn Strategy) -> Self {
        Self { strategy, schedule: Schedule::default(), switches: Vec::new() }
    }
}

impl Chooser for Recorder<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let choice = self.strategy.choose(point);
        self.schedule.push(choice);
        if self.schedule.stretches().len() > self.switches.len() {
            self.switches.push(format!("{:016x}", point.hash));
        }
        choice
    }
}
