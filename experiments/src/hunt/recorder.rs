//! Writing down what a strategy decides, and the run's hash at each switch.

use vmm::controlled::{Choice, Chooser, Point};

use crate::schedule::Schedule;
use crate::strategy::Strategy;

/// The decisions of a run so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) schedule: Schedule,
    /// 16 hex digits for each stretch of the schedule.
    pub(crate) switches: Vec<String>,
}

impl Recording {
    pub(crate) fn push(&mut self, point: &Point, choice: Choice) {
        self.add(point.hash, choice);
    }

    /// A decision, and the run's hash before it.
    pub(crate) fn add(&mut self, hash: u64, choice: Choice) {
        self.schedule.push(choice);
        if self.schedule.stretches().len() > self.switches.len() {
            self.switches.push(format!("{hash:016x}"));
        }
    }
}

/// A strategy, and what it has decided in this run.
pub(super) struct Recorder<'a> {
    strategy: &'a mut dyn Strategy,
    pub(super) recording: Recording,
    /// How many decisions were the strategy's.
    pub(super) decisions: u64,
    /// How many of them had an alternative.
    pub(super) choices: u64,
}

impl<'a> Recorder<'a> {
    /// `before`: what was decided before the strategy is asked for the first time.
    pub(super) fn new(strategy: &'a mut dyn Strategy, before: Recording) -> Self {
        Self { strategy, recording: before, decisions: 0, choices: 0 }
    }
}

impl Chooser for Recorder<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let choice = self.strategy.choose(point);
        self.recording.push(point, choice);
        self.decisions += 1;
        self.choices += u64::from(point.enabled.len() > 1);
        choice
    }
}
