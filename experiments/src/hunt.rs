//! Run after run, each another interleaving, until one fails.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use probes::Symbols;
use vmm::controlled::{Choice, Chooser, ControlledMachine, Ending, Point};
use vmm::{Host, MachineConfig};

use crate::finding::{Finding, Machine, Run, Search};
use crate::replay::{Divergence, Recorded, Replay, replay};
use crate::schedule::Schedule;
use crate::strategy::{Strategy, StrategySpec};
use crate::waits::Names;

/// What to search, how, and for how long.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The guest and its machine.
    pub machine: MachineConfig,
    /// Who decides.
    pub strategy: StrategySpec,
    /// The seed of everything random.
    pub seed: u64,
    /// The most runs.
    pub runs: u64,
    /// The longest time.
    pub time: Option<Duration>,
    /// The most scheduling points a run.
    pub budget: u64,
    /// Go on after a failure.
    pub keep_going: bool,
    /// Run every schedule a second time, and compare.
    pub verify: bool,
}

/// How far a search has got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Runs so far.
    pub runs: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Different interleavings.
    pub distinct: u64,
    /// Runs that were cut short: by their budget, or because a vCPU ran away.
    pub cut_short: u64,
    /// Scheduling points of all runs.
    pub points: u64,
    /// Runs that came out differently the second time.
    pub diverged: u64,
}

/// Whether a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    GoOn,
    /// Somebody wants it to stop.
    Stop,
}

/// What there is to tell of a run.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// It was a run like any other.
    Clean,
    /// It failed.
    Failed(&'a Finding),
    /// It came out differently the second time: no schedule describes it.
    Diverged(&'a Divergence),
}

/// Searches. `tell` is called after every run.
pub fn hunt(
    host: &Host,
    hunt: &Hunt,
    symbols: Option<&Symbols>,
    mut tell: impl FnMut(&Progress, Told) -> Next,
) -> vmm::Result<Progress> {
    let start = Instant::now();
    let mut strategy = hunt.strategy.make(hunt.seed, hunt.machine.cpus.get());
    let mut seen = HashSet::new();
    let mut progress = Progress::default();
    let mut length = 0;
    for run in 0..hunt.runs {
        if hunt.time.is_some_and(|time| start.elapsed() >= time) {
            break;
        }
        strategy.begin(run, length);
        let mut machine = ControlledMachine::new(host, &hunt.machine, Box::new(std::io::sink()))?;
        let mut recorder = Recorder::new(&mut *strategy);
        let ending = machine.run(&mut recorder, hunt.budget)?;
        let (schedule, switches) = recorder.finish();
        length = length.max(schedule.points());
        progress.runs += 1;
        progress.points += machine.points();
        progress.distinct += u64::from(seen.insert(machine.hash()));
        let cut_short = matches!(ending, Ending::Budget | Ending::Runaway { .. });
        progress.cut_short += u64::from(cut_short);
        let recorded = Recorded {
            schedule,
            switches,
            verdict: ending.to_string(),
            points: machine.points(),
            hash: format!("{:016x}", machine.hash()),
        };
        let finding = if ending.is_failure() {
            progress.failed += 1;
            let names = Names { symbols, image: &hunt.machine.guest.bytes };
            Some(Finding {
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
                    points: recorded.points,
                    hash: recorded.hash.clone(),
                    switches: recorded.switches.clone(),
                },
                waits: names.table(&machine.waiters()?, machine.memory()),
            })
        } else {
            None
        };
        drop(machine);
        let divergence = match hunt.verify.then(|| replay(host, &recorded, &hunt.machine)) {
            Some(Err(error)) => return Err(error),
            Some(Ok(Replay::Diverged(divergence))) => Some(divergence),
            Some(Ok(Replay::Reproduced)) | None => None,
        };
        progress.diverged += u64::from(divergence.is_some());
        let told = match (&divergence, &finding) {
            (Some(divergence), _) => Told::Diverged(divergence),
            (None, Some(finding)) => Told::Failed(finding),
            (None, None) => Told::Clean,
        };
        let enough = finding.is_some() && !hunt.keep_going;
        if tell(&progress, told) == Next::Stop || enough {
            break;
        }
    }
    Ok(progress)
}

/// Writes down what a strategy decides, and the run's hash at each switch.
struct Recorder<'a> {
    strategy: &'a mut dyn Strategy,
    schedule: Schedule,
    switches: Vec<String>,
}

impl<'a> Recorder<'a> {
    fn new(strategy: &'a mut dyn Strategy) -> Self {
        Self { strategy, schedule: Schedule::default(), switches: Vec::new() }
    }

    fn finish(self) -> (Schedule, Vec<String>) {
        (self.schedule, self.switches)
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
