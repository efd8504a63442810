//! One run of a search.

use probes::Symbols;
use vmm::Host;
use vmm::controlled::Ending;

use super::lab::Lab;
use super::queue::{Queue, Ticket};
use super::recorder::Recorder;
use super::{Hunt, SLICE};
use crate::finding::{Finding, Machine, Search};
use crate::places::Stop;
use crate::replay::{Divergence, Recorded, replay, survey};
use crate::strategy::Strategy;
use crate::waits::{Names, Row};

/// What came of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) run: u64,
    /// How many decisions it took.
    pub(super) decisions: u64,
    /// How many of them had an alternative.
    pub(super) choices: u64,
    pub(super) points: u64,
    pub(super) hash: u64,
    pub(super) cut_short: bool,
    pub(super) finding: Option<Box<Finding>>,
    pub(super) divergence: Option<Divergence>,
}

/// What a thread needs to make runs.
pub(super) struct Worker<'a> {
    host: &'a Host,
    hunt: &'a Hunt,
    symbols: Option<&'a Symbols>,
    queue: &'a Queue,
    strategy: Box<dyn Strategy>,
    /// Made for the first run.
    lab: Option<Lab>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        host: &'a Host,
        hunt: &'a Hunt,
        symbols: Option<&'a Symbols>,
        queue: &'a Queue,
    ) -> Self {
        let strategy = hunt.strategy.make(hunt.seed, hunt.machine.cpus.get());
        Self { host, hunt, symbols, queue, strategy, lab: None }
    }

    /// Makes a run. `None` if it was not wanted any more before its end.
    pub(super) fn make(&mut self, ticket: Ticket) -> vmm::Result<Option<Report>> {
        let hunt = self.hunt;
        self.strategy.begin(ticket.run, ticket.length);
        let lab = match self.lab.take() {
            Some(lab) => Some(lab),
            None => Lab::new(self.host, hunt, self.queue)?,
        };
        let Some(mut lab) = lab else { return Ok(None) };
        let (machine, before) = lab.begin()?;
        let mut recorder = Recorder::new(&mut *self.strategy, before);
        let ending = loop {
            let slice = machine.points().saturating_add(SLICE).min(hunt.budget);
            let ending = machine.run(&mut recorder, slice)?;
            if ending != Ending::Budget || machine.points() >= hunt.budget {
                break ending;
            }
            if self.queue.is_closed() {
                return Ok(None);
            }
        };
        let Recorder { recording, decisions, choices, .. } = recorder;
        let recorded = Recorded {
            schedule: recording.schedule,
            switches: recording.switches,
            hang_budget: hunt.hang_budget,
            verdict: ending.to_string(),
            points: machine.points(),
            hash: format!("{:016x}", machine.hash()),
        };
        let mut report = Report {
            run: ticket.run,
            decisions,
            choices,
            points: machine.points(),
            hash: machine.hash(),
            cut_short: matches!(ending, Ending::Budget | Ending::Runaway { .. }),
            finding: None,
            divergence: None,
        };
        let mut waits = Vec::new();
        if ending.is_failure() {
            let names = Names { symbols: self.symbols, image: &hunt.machine.guest.bytes };
            waits = names.table(&machine.waiters()?, machine.memory());
        }
        self.lab = Some(lab);
        if ending.is_failure() {
            let (replayed, stops) = survey(self.host, &recorded, &hunt.machine, self.symbols)?;
            report.divergence = replayed.divergence;
            let stops = if report.divergence.is_none() { stops } else { Vec::new() };
            report.finding = Some(Box::new(self.finding(ticket.run, &recorded, &stops, waits)));
        } else if hunt.verify {
            report.divergence = replay(self.host, &recorded, &hunt.machine, &[])?.divergence;
        }
        Ok(Some(report))
    }

    fn finding(&self, run: u64, recorded: &Recorded, stops: &[Stop], waits: Vec<Row>) -> Finding {
        let hunt = self.hunt;
        Finding {
            version: Finding::VERSION,
            verdict: recorded.verdict.clone(),
            schedule: recorded.schedule.to_string(),
            machine: Machine::of(&hunt.machine),
            search: Search {
                strategy: hunt.strategy.kind().to_string(),
                seed: hunt.seed,
                depth: hunt.strategy.depth(),
                run,
            },
            run: recorded.run(stops),
            waits,
            sighting: None,
        }
    }
}
