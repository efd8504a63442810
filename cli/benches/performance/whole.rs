//! Measures whole runs of a search, from going back to the snapshot to the verdict, in comparison
//! with the minimal loop that enters the same vCPUs of the same machine in the same order.
//!
//! The runs are those that `hunt` would make, with its strategies. A hang is proven in them as in
//! any search; the rounds of the proof are part of the loop's runs, too.

use std::cell::RefCell;
use std::time::Duration;

use criterion::Criterion;
use experiments::strategy::{Lesson, Method, RoundRobin};
use experiments::{Strategy, StrategySpec};
use vmm::controlled::{ControlledMachine, Snapshot};
use vmm::end::End;
use vmm::{CpuCount, GuestImage, Host, MachineConfig};

use crate::Failure;
use crate::contest::{Busy, Contestant, Plan, Rounds, hold};
use crate::image::PAGE;
use crate::raw::retrace::{Recorder, Registers, Retrace};

/// The maximum ratio of the time of a run to that of the loop.
const GOAL: f64 = 1.25;
/// How many times a run is repeated if it was kicked while it was recorded.
const ATTEMPTS: u32 = 1000;
/// A run that takes this number of scheduling points has gone wrong.
const BUDGET: u64 = 1_000_000;

pub(crate) fn measure(criterion: &mut Criterion, host: &Host) -> Result<Vec<Rounds>, Failure> {
    // Each number of runs takes some tenths of a second.
    let contests = [
        ("run of hunt: lost-update", "lost-update", 200),
        ("run of hunt: ticket-lock", "ticket-lock", 200),
        ("run of hunt: tsc-sync", "tsc-sync", 20),
    ];
    contests
        .into_iter()
        .map(|(name, guest, runs)| contest(criterion, host, name, guest, runs))
        .collect()
}

fn contest(
    criterion: &mut Criterion,
    host: &Host,
    name: &'static str,
    guest: &str,
    runs: u64,
) -> Result<Rounds, Failure> {
    let (mut search, mut retrace) = Search::record(host, guest, runs)?;
    println!(
        "{guest}: {runs} runs, {} of them fail; {} scheduling points, {} entries of vCPUs",
        search.runs.iter().filter(|made| made.ending.is_failure()).count(),
        search.runs.iter().map(|made| made.points).sum::<u64>(),
        retrace.entries()
    );
    for (request, (count, time)) in retrace.profile()? {
        let each = time.as_secs_f64() * 1e6 / count as f64;
        let (count, time) = (count as f64 / runs as f64, time.as_secs_f64() * 1e6 / runs as f64);
        println!(
            "  ioctl {request:#010x}: {count:.1} times a run, {each:.2} us each, {time:.1} us a run"
        );
    }
    let retrace = RefCell::new(retrace);
    let floor = |name, goal, registers| {
        let retrace = &retrace;
        let turn = move || Ok(retrace.borrow_mut().repeat(registers)?);
        Contestant { name, goal, turn: Box::new(turn) }
    };
    let contestants = vec![
        Contestant { name: "jitterbug", goal: None, turn: Box::new(|| search.turn()) },
        floor("ioctl", Some(GOAL), Registers::Left),
        floor("ioctl, registers with each exit", None, Registers::Synced),
    ];
    let plan = Plan {
        name,
        times: runs,
        samples: 20,
        warm_up: Duration::from_millis(300),
        measurement: Duration::from_secs(4),
        judged: 2,
        rate: None,
    };
    Ok(hold(criterion, &plan, contestants))
}

/// A machine in the state in which its runs begin, and the expected results of the runs.
struct Search {
    machine: ControlledMachine,
    snapshot: Snapshot,
    strategy: Box<dyn Strategy>,
    lesson: Lesson,
    runs: Vec<Made>,
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    ending: End,
    points: u64,
    hash: u64,
}

impl Search {
    /// Makes the runs once, and records their requests to KVM.
    fn record(host: &Host, guest: &str, runs: u64) -> Result<(Self, Retrace), Failure> {
        let guest = guests::find(guest).ok_or("no such guest")?;
        let image = GuestImage { name: guest.name.into(), bytes: guest.image.into() };
        let config = MachineConfig::new(image, CpuCount::new(guest.default_cpus)?);
        let mut recorder = Recorder::begin();
        let (machine, snapshot) = start(host, &config)?;
        let memory = machine.memory().clone();
        let size = config.memory.bytes();
        recorder.start((0..size).step_by(PAGE as usize).filter_map(|address| {
            let mut page = vec![0; PAGE as usize];
            memory.read(address, &mut page).ok()?;
            Some((address, page))
        }));
        let turns = [Method::Random, Method::Uniform, Method::Pct(2)].map(Into::into).into();
        let lesson = Lesson {
            first: 0,
            end: runs,
            turns,
            length: 100,
            counts: Vec::new(),
            faults: 0,
            wants_paths: false,
        };
        let strategy = StrategySpec::Portfolio.make(1, guest.default_cpus);
        let mut search = Self { machine, snapshot, strategy, lesson, runs: Vec::new() };
        for run in 0..runs {
            let made = search.make_recorded(run, runs, &mut recorder)?;
            search.runs.push(made);
        }
        Ok((search, recorder.finish()))
    }

    /// Makes a run directly after the one that precedes it in each turn, because which vCPUs are
    /// restored depends on which have run.
    fn make_recorded(
        &mut self,
        run: u64,
        runs: u64,
        recorder: &mut Recorder,
    ) -> Result<Made, Failure> {
        for attempt in 0..ATTEMPTS {
            if run == 0 || attempt > 0 {
                self.make(run.checked_sub(1).unwrap_or(runs - 1))?;
            }
            if let Some(made) = recorder.record(|| self.make(run)) {
                return made;
            }
        }
        Err(format!("run {run} was kicked in each of {ATTEMPTS} attempts").into())
    }

    fn make(&mut self, run: u64) -> Result<Made, Failure> {
        self.strategy.begin(run, &self.lesson);
        self.machine.restore(&self.snapshot)?;
        let ending = self.machine.run(&mut *self.strategy, BUDGET)?;
        Ok(Made { ending, points: self.machine.points(), hash: self.machine.hash() })
    }

    fn turn(&mut self) -> Result<Duration, Failure> {
        let start = Busy::start()?;
        for run in 0..self.runs.len() {
            let made = self.make(run as u64)?;
            if made != self.runs[run] {
                return Err(format!("run {run}: {made:?} instead of {:?}", self.runs[run]).into());
            }
        }
        Ok(start.elapsed()?)
    }
}

/// A machine at its guest's mark, as in a search. Fails if the guest has no mark.
fn start(host: &Host, config: &MachineConfig) -> Result<(ControlledMachine, Snapshot), Failure> {
    let boot = || ControlledMachine::new(host, config, Box::new(std::io::sink()));
    let mut machine = boot()?;
    if machine.run_to_mark(&mut RoundRobin, BUDGET)?.is_some() {
        return Err("the guest marks no place".into());
    }
    let snapshot = machine.save()?;
    Ok((machine, snapshot))
}
