//! Lets a fault strike at every place where it can, one place after the other.
//!
//! One run without a fault comes first; the vCPUs go on in turn in it. Each of the other runs makes
//! the same choices up to one of the places where a fault could have struck, lets it strike there,
//! and then lets the vCPUs go on in turn again. If the fault may strike more than once, the runs
//! that did not fail are continued in the same way: pairs of places come after all single places.
//! `CrashMonkey` (OSDI 2018) goes through the crash points of file systems like this: everything
//! up to a bound.

use std::collections::VecDeque;
use std::time::Instant;

use inspect::Symbols;
use vmm::controlled::{Choice, Chooser, Point};
use vmm::end::End;
use vmm::fault::Strike;
use vmm::{Cancel, Host};

use super::executor::Executor;
use super::failed::Failed;
use super::recorder::Recording;
use super::trial::place;
use super::{Hunt, Next};
use crate::finding::Finding;
use crate::replay::Divergence;
use crate::schedule::Schedule;
use crate::strategy::RoundRobin;
use crate::waits::Names;

/// The most places of one run that are tried. A run with more is too long to be tried at each.
const MAX_PLACES: usize = 100_000;
/// The most scheduling points of all schedules together that are kept to be continued. A point
/// takes 24 bytes at most.
const MAX_WAITING: u64 = 10_000_000;

/// How far a sweep has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs so far, with the one without a fault.
    pub runs: u64,
    /// The scheduling points of the run without a fault.
    pub points: u64,
    /// For one fault, two faults and so on: the places (or sets of places) found so far.
    pub places: Vec<u64>,
    /// How many of them were tried.
    pub tried: Vec<u64>,
    /// How many of these runs failed.
    pub failed: Vec<u64>,
    /// Runs that came to no end.
    pub cut_short: u64,
    /// Places that are left out because there are too many.
    pub left_out: u64,
    /// Runs that came out differently when they were repeated.
    pub diverged: u64,
    /// Whether the run without a fault failed or came to no end; no fault was tried then.
    pub unfit: bool,
    /// Whether every place was tried.
    pub complete: bool,
}

/// What a sweep reports to its caller.
#[derive(Clone, Copy, Debug)]
pub enum SweepEvent<'a> {
    /// The run without a fault has passed.
    Begins,
    /// A run with these faults passed.
    Passed(&'a [Strike]),
    /// A run with these faults was cut short there.
    CutShort(&'a [Strike], &'a str),
    /// A run failed. If no fault struck, it is the run without a fault.
    Failed(&'a Finding),
    /// The run with this number came out differently when it was repeated.
    Diverged(u64, &'a Divergence),
}

/// A run that passed, and where faults could have struck in it.
struct Node {
    schedule: Schedule,
    places: Vec<(usize, Choice)>,
}

/// A run, and what came of it.
struct Made {
    node: Node,
    strikes: Vec<Strike>,
    left_out: u64,
    points: u64,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    CutShort(String),
    Failed(Box<Finding>, Option<Divergence>),
}

/// Sweeps over the places of the machine's faults. Of the settings, the strategy, the number of
/// threads and `keep_going` have no effect. Fails with [`vmm::Error::Cancelled`] if it is cancelled
/// in the middle of a run.
pub fn sweep(
    host: &Host,
    hunt: &Hunt,
    symbols: Option<&Symbols>,
    cancel: &Cancel,
    mut tell: impl FnMut(&Swept, SweepEvent) -> Next,
) -> vmm::Result<Swept> {
    let mut sweep = Sweep {
        host,
        hunt,
        names: Names { symbols, image: &hunt.machine.guest.bytes },
        cancel,
        executor: Executor::new(host, hunt, cancel)?,
        deadline: hunt.time.and_then(|time| Instant::now().checked_add(time)),
        waiting: 0,
        swept: Swept::default(),
    };
    sweep.all(&mut tell)?;
    Ok(sweep.swept)
}

struct Sweep<'a> {
    host: &'a Host,
    hunt: &'a Hunt,
    names: Names<'a>,
    cancel: &'a Cancel,
    executor: Executor,
    deadline: Option<Instant>,
    /// The scheduling points of the schedules that are kept to be continued.
    waiting: u64,
    swept: Swept,
}

type Tell<'a> = &'a mut dyn FnMut(&Swept, SweepEvent) -> Next;

impl Sweep<'_> {
    fn all(&mut self, tell: Tell) -> vmm::Result<()> {
        let base = self.run(&[])?;
        self.swept.points = base.points;
        match &base.outcome {
            Outcome::Passed => {}
            Outcome::CutShort(place) => {
                (self.swept.unfit, self.swept.cut_short) = (true, 1);
                tell(&self.swept, SweepEvent::CutShort(&[], place));
                return Ok(());
            }
            Outcome::Failed(finding, divergence) => {
                self.swept.unfit = true;
                if let Some(divergence) = divergence {
                    self.swept.diverged += 1;
                    tell(&self.swept, SweepEvent::Diverged(0, divergence));
                }
                tell(&self.swept, SweepEvent::Failed(finding));
                return Ok(());
            }
        }
        self.found(0, &base);
        if tell(&self.swept, SweepEvent::Begins) == Next::Stop {
            return Ok(());
        }
        let mut waiting = VecDeque::from([(0, base.node)]);
        while let Some((depth, node)) = waiting.pop_front() {
            let choices: Vec<Choice> = node.schedule.choices().collect();
            self.waiting = self.waiting.saturating_sub(choices.len() as u64);
            for (at, fault) in node.places {
                let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if late || self.swept.runs >= self.hunt.runs {
                    return Ok(());
                }
                let mut prefix = choices[..at].to_vec();
                prefix.push(fault);
                let made = self.run(&prefix)?;
                if self.take(depth, made, &mut waiting, tell) == Next::Stop {
                    return Ok(());
                }
            }
        }
        self.swept.complete = self.swept.left_out == 0;
        Ok(())
    }

    /// Counts the places of a run with `depth` faults.
    fn found(&mut self, depth: usize, made: &Made) {
        let new = made.node.places.len() as u64;
        if new > 0 {
            let swept = &mut self.swept;
            for counts in [&mut swept.places, &mut swept.tried, &mut swept.failed] {
                counts.resize(counts.len().max(depth + 1), 0);
            }
            swept.places[depth] += new;
        }
        self.swept.left_out += made.left_out;
    }

    /// Takes the result of a run with `depth` faults before the last one.
    fn take(
        &mut self,
        depth: usize,
        made: Made,
        waiting: &mut VecDeque<(usize, Node)>,
        tell: Tell,
    ) -> Next {
        self.swept.tried[depth] += 1;
        match &made.outcome {
            Outcome::Passed => {
                let places = made.node.places.len();
                if self.waiting + made.points <= MAX_WAITING {
                    self.found(depth + 1, &made);
                } else {
                    self.swept.left_out += made.left_out + places as u64;
                }
                let next = tell(&self.swept, SweepEvent::Passed(&made.strikes));
                if places > 0 && self.waiting + made.points <= MAX_WAITING {
                    self.waiting += made.points;
                    waiting.push_back((depth + 1, made.node));
                }
                next
            }
            Outcome::CutShort(place) => {
                self.swept.cut_short += 1;
                tell(&self.swept, SweepEvent::CutShort(&made.strikes, place))
            }
            Outcome::Failed(finding, divergence) => {
                self.swept.failed[depth] += 1;
                let number = self.swept.runs - 1;
                if let Some(divergence) = divergence {
                    self.swept.diverged += 1;
                    tell(&self.swept, SweepEvent::Diverged(number, divergence));
                }
                tell(&self.swept, SweepEvent::Failed(finding))
            }
        }
    }

    /// Makes a run that begins with these choices.
    fn run(&mut self, prefix: &[Choice]) -> vmm::Result<Made> {
        let number = self.swept.runs;
        let (machine, before) = self.executor.begin()?;
        let mut tour = Tour { prefix, recording: before, made: 0, places: Vec::new(), left_out: 0 };
        let ending = machine.run(&mut tour, self.hunt.budget)?;
        self.swept.runs += 1;
        let Tour { recording, places, left_out, .. } = tour;
        let (strikes, points) = (machine.strikes().to_vec(), machine.points());
        let outcome = match &ending {
            End::Budget | End::Runaway { .. } => {
                Outcome::CutShort(place(machine, &ending, &self.names)?)
            }
            ending if ending.is_failure() => {
                let waits = self.names.table(&machine.waiters()?, machine.memory());
                let recorded = recording.clone().run(machine, self.hunt.hang_budget, ending);
                let failed = Failed { recorded: &recorded, strikes: &strikes, waits };
                let (finding, divergence) =
                    failed.finding(self.host, self.hunt, &self.names, number, self.cancel)?;
                Outcome::Failed(Box::new(finding), divergence)
            }
            _ => Outcome::Passed,
        };
        let node = Node { schedule: recording.schedule, places };
        Ok(Made { node, strikes, left_out, points, outcome })
    }
}

/// Makes given choices, then lets the vCPUs go on in turn, and records where faults could strike
/// behind the given choices.
struct Tour<'a> {
    prefix: &'a [Choice],
    recording: Recording,
    /// How many choices were made.
    made: usize,
    places: Vec<(usize, Choice)>,
    left_out: u64,
}

impl Chooser for Tour<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let planned = self.prefix.get(self.made).copied();
        let choice = planned.unwrap_or_else(|| RoundRobin.choose(point));
        if planned.is_none() {
            for fault in point.faults.iter().filter(|fault| is_place(point, choice, **fault)) {
                if self.places.len() < MAX_PLACES {
                    self.places.push((self.made, *fault));
                } else {
                    self.left_out += 1;
                }
            }
        }
        self.made += 1;
        self.recording.push(point, choice);
        choice
    }
}

/// Whether a fault that can strike here is a place of its own. While other vCPUs run, a vCPU that
/// could go on is still before the same access, and the fault could strike there later as well.
fn is_place(point: &Point, choice: Choice, fault: Choice) -> bool {
    let vcpu = fault.vcpu();
    choice.vcpu() == vcpu || point.enabled.iter().all(|enabled| enabled.vcpu() != vcpu)
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
