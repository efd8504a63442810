//! One run of a search.

use probes::Symbols;
use vmm::Host;
use vmm::controlled::{ControlledMachine, Ending};

use super::Hunt;
use super::lab::Lab;
use super::queue::{Queue, Ticket};
use super::recorder::Recorder;
use crate::finding::{Finding, Machine, Run, Search};
use crate::replay::{Divergence, Recorded, Replay, replay};
use crate::strategy::Strategy;
use crate::waits::Names;

/// After so many scheduling points a run looks whether it is still wanted.
const SLICE: u64 = 50_000;

/// What came of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) run: u64,
    /// How many decisions it took.
    pub(super) length: u64,
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
        // A schedule that somebody has written down begins at the first instruction.
        let mut lab = match self.lab.take() {
            Some(lab) => lab,
            None => Lab::new(self.host, &hunt.machine, hunt.strategy.varies())?,
        };
        let (machine, before) = lab.begin()?;
        machine.set_hang_budget(hunt.hang_budget);
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
        let Recorder { recording, decisions, .. } = recorder;
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
            length: decisions,
            points: machine.points(),
            hash: machine.hash(),
            cut_short: matches!(ending, Ending::Budget | Ending::Runaway { .. }),
            finding: None,
            divergence: None,
        };
        if ending.is_failure() {
            report.finding = Some(Box::new(self.finding(ticket.run, &recorded, machine)?));
        }
        self.lab = Some(lab);
        if hunt.verify
            && let Replay::Diverged(divergence) = replay(self.host, &recorded, &hunt.machine)?
        {
            report.divergence = Some(divergence);
        }
        Ok(Some(report))
    }

    fn finding(
        &self,
        run: u64,
        recorded: &Recorded,
        machine: &mut ControlledMachine,
    ) -> vmm::Result<Finding> {
        let hunt = self.hunt;
        let names = Names { symbols: self.symbols, image: &hunt.machine.guest.bytes };
        Ok(Finding {
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
            run: Run {
                hang_budget: recorded.hang_budget,
                points: recorded.points,
                hash: recorded.hash.clone(),
                switches: recorded.switches.clone(),
            },
            waits: names.table(&machine.waiters()?, machine.memory()),
        })
    }
}
