//! One run of a search.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use inspect::Symbols;
use vmm::controlled::{Choice, ControlledMachine};
use vmm::end::End;
use vmm::{Cancel, Host};

use super::Hunt;
use super::executor::Executor;
use super::failed::Failed;
use super::queue::{Queue, Ticket};
use super::recorder::{FaultPlaces, Recorder, Recording};
use super::tree::Taken;
use crate::finding::Finding;
use crate::replay::{Divergence, replay};
use crate::strategy::Strategy;
use crate::waits::Names;

/// The result of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) run: u64,
    /// How many decisions the strategy made.
    pub(super) decisions: u64,
    /// How many of these decisions had an alternative.
    pub(super) choices: u64,
    pub(super) points: u64,
    pub(super) hash: u64,
    /// How often each choice was made.
    pub(super) counts: Vec<(Choice, u64)>,
    /// The decisions that had an alternative, if they were recorded.
    pub(super) path: Option<Vec<Taken>>,
    /// Where the run was cut short.
    pub(super) cut_short: Option<String>,
    /// Whether the run ended quiet.
    pub(super) quiet: bool,
    /// [`Progress::watched`](super::Progress::watched).
    pub(super) watched: Option<u64>,
    pub(super) faults: FaultPlaces,
    /// The numbers of the faults that struck.
    pub(super) struck: BTreeSet<u8>,
    pub(super) finding: Option<Box<Finding>>,
    pub(super) divergence: Option<Divergence>,
}

/// The state of a thread that makes runs.
pub(super) struct Worker<'a> {
    host: &'a Host,
    hunt: &'a Hunt,
    symbols: Option<&'a Symbols>,
    /// Cancels a run that the search has no more use for.
    cancel: Cancel,
    strategy: Box<dyn Strategy>,
    /// Created for the first run.
    executor: Option<Executor>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        host: &'a Host,
        hunt: &'a Hunt,
        symbols: Option<&'a Symbols>,
        queue: &Arc<Queue>,
    ) -> Self {
        let queue = queue.clone();
        let cancel = Cancel::when(move || queue.is_closed());
        let strategy = hunt.strategy.make(hunt.seed, hunt.machine.cpus.get());
        Self { host, hunt, symbols, cancel, strategy, executor: None }
    }

    /// Makes a run. `None` if the search ended before the run.
    pub(super) fn make(&mut self, ticket: &Ticket) -> vmm::Result<Option<Report>> {
        match self.try_to_make(ticket) {
            Ok(report) => Ok(Some(report)),
            Err(vmm::Error::Cancelled) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn try_to_make(&mut self, ticket: &Ticket) -> vmm::Result<Report> {
        let hunt = self.hunt;
        self.strategy.begin(ticket.run, &ticket.lesson);
        let mut executor = match self.executor.take() {
            Some(executor) => executor,
            None => Executor::new(self.host, hunt, &self.cancel)?,
        };
        let (machine, before) = executor.begin()?;
        let start = before.switches.len();
        let wants_path = ticket.lesson.wants_paths;
        let mut recorder = Recorder::new(&mut *self.strategy, before, wants_path);
        let ending = machine.run(&mut recorder, hunt.budget)?;
        let Recorder { recording, decisions, choices, path, faults, .. } = recorder;
        let strikes = machine.strikes().to_vec();
        let names = Names { symbols: self.symbols, image: &hunt.machine.guest.bytes };
        let cut_short = match &ending {
            End::Budget | End::Runaway { .. } => Some(place(machine, &ending, &names)?),
            _ => None,
        };
        let mut report = Report {
            run: ticket.run,
            decisions,
            choices,
            points: machine.points(),
            hash: machine.hash(),
            counts: counts(&recording, start),
            path,
            cut_short,
            quiet: matches!(ending, End::Quiet { .. }),
            watched: watched(machine),
            faults,
            struck: strikes.iter().map(|strike| strike.number).collect(),
            finding: None,
            divergence: None,
        };
        let mut waits = Vec::new();
        if ending.is_failure() {
            waits = names.table(&machine.waiters()?, machine.memory());
        }
        let recorded = (ending.is_failure() || hunt.verify)
            .then(|| recording.run(machine, hunt.hang_budget, &ending));
        self.executor = Some(executor);
        let Some(recorded) = recorded else { return Ok(report) };
        if ending.is_failure() {
            let failed = Failed { recorded: &recorded, strikes: &strikes, waits };
            let (finding, divergence) =
                failed.finding(self.host, hunt, &names, ticket.run, &self.cancel)?;
            report.divergence = divergence;
            report.finding = Some(Box::new(finding));
        } else {
            report.divergence =
                replay(self.host, &recorded, &hunt.machine, &[], &self.cancel)?.divergence;
        }
        Ok(report)
    }
}

/// How often each choice was made, from segment `start` on.
fn counts(recording: &Recording, start: usize) -> Vec<(Choice, u64)> {
    let mut counts = BTreeMap::<_, u64>::new();
    for segment in recording.schedule.segments().iter().skip(start) {
        *counts.entry(segment.choice).or_default() += segment.points;
    }
    counts.into_iter().collect()
}

/// Where a run was cut short: the function and line of the vCPU that ran last.
pub(super) fn place(
    machine: &mut ControlledMachine,
    ending: &End,
    names: &Names,
) -> vmm::Result<String> {
    let vcpu = match ending {
        End::Runaway { vcpu } => Some(*vcpu),
        _ => machine.last(),
    };
    let rows = names.table(&machine.waiters()?, machine.memory());
    let row = rows.iter().find(|row| Some(row.vcpu) == vcpu);
    let frame = row.and_then(|row| row.stack.split(" < ").next()).unwrap_or_default();
    Ok(match &ending {
        End::Runaway { vcpu } => format!("vCPU {vcpu} ran away in {frame}"),
        _ => format!("out of budget in {frame}"),
    })
}

/// The bytes of memory in which each access is a scheduling point.
fn watched(machine: &ControlledMachine) -> Option<u64> {
    let watched = machine.memory().trapped();
    let bytes = watched.iter().map(|range| range.end - range.start).sum();
    (!watched.is_empty()).then_some(bytes)
}
