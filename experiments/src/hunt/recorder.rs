//! Records what a strategy decides, and the run's hash at each switch.

use std::collections::BTreeSet;

use vmm::controlled::{Choice, Chooser, ControlledMachine, Point};
use vmm::end::End;

use super::tree::Taken;
use crate::replay::Recorded;
use crate::schedule::Schedule;
use crate::strategy::Strategy;

/// The decisions of a run so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) schedule: Schedule,
    /// The run's hash before each segment of the schedule.
    pub(crate) switches: Vec<u64>,
}

impl Recording {
    pub(crate) fn push(&mut self, point: &Point, choice: Choice) {
        self.add(point.hash, choice);
    }

    /// Adds a decision, and the run's hash before it.
    pub(crate) fn add(&mut self, hash: u64, choice: Choice) {
        self.schedule.push(choice);
        if self.schedule.segments().len() > self.switches.len() {
            self.switches.push(hash);
        }
    }
}

impl Recording {
    /// [`Self::switches`], as 16 hex digits each.
    pub(crate) fn hashes(&self) -> Vec<String> {
        self.switches.iter().map(|hash| format!("{hash:016x}")).collect()
    }

    /// The run that this machine has just made by these decisions, to compare a replay with.
    pub(crate) fn run(
        self,
        machine: &ControlledMachine,
        hang_budget: u64,
        ending: &End,
    ) -> Recorded {
        Recorded {
            switches: self.hashes(),
            schedule: self.schedule,
            hang_budget,
            verdict: ending.to_string(),
            points: machine.points(),
            hash: format!("{:016x}", machine.hash()),
        }
    }
}

/// Where faults could have struck in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FaultPlaces {
    /// How many choices there were that let a fault strike.
    pub(super) count: u64,
    /// The numbers of the faults that could have struck.
    pub(super) numbers: BTreeSet<u8>,
}

impl FaultPlaces {
    fn note(&mut self, point: &Point) {
        self.count += point.faults.len() as u64;
        self.numbers.extend(point.faults.iter().filter_map(|choice| match choice {
            Choice::Fault(_, number) => Some(*number),
            _ => None,
        }));
    }
}

/// The longest path that is kept: a search never exhausts the alternatives of a longer one.
const LONGEST_PATH: usize = 4096;

/// A strategy, and what it has decided in this run.
pub(super) struct Recorder<'a> {
    strategy: &'a mut dyn Strategy,
    pub(super) recording: Recording,
    /// How many decisions the strategy made.
    pub(super) decisions: u64,
    /// How many of these decisions had an alternative.
    pub(super) choices: u64,
    /// The decisions that had an alternative; `None` if they aren't wanted or there are too many.
    pub(super) path: Option<Vec<Taken>>,
    pub(super) faults: FaultPlaces,
}

impl<'a> Recorder<'a> {
    /// `before` holds the decisions made before the strategy is asked for the first time.
    pub(super) fn new(strategy: &'a mut dyn Strategy, before: Recording, wants_path: bool) -> Self {
        let path = wants_path.then(Vec::new);
        let faults = FaultPlaces::default();
        Self { strategy, recording: before, decisions: 0, choices: 0, path, faults }
    }

    fn note(&mut self, point: &Point, choice: Choice) {
        let Some(path) = &mut self.path else { return };
        let mut possible = point.enabled.iter().chain(point.faults);
        let taken = possible.position(|possible| *possible == choice);
        // Without faults, there are at most two choices for each of 64 vCPUs.
        match (taken.map(u8::try_from), u8::try_from(point.enabled.len() + point.faults.len())) {
            (Some(Ok(taken)), Ok(of)) if path.len() < LONGEST_PATH => path.push((taken, of)),
            _ => self.path = None,
        }
    }
}

impl Chooser for Recorder<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let choice = self.strategy.choose(point);
        self.recording.push(point, choice);
        self.decisions += 1;
        self.choices += u64::from(point.enabled.len() > 1);
        if point.enabled.len() + point.faults.len() > 1 {
            self.note(point, choice);
        }
        self.faults.note(point);
        choice
    }
}
