//! Replays a finding, and compares the run with the recorded one at every switch.
//!
//! Hooks may observe the replay. They see virtual time and don't change the run, so the comparison
//! is the same with them. A hook that traps memory which the finding's machine doesn't trap would
//! add scheduling points and so change the run; it is refused.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use inspect::Symbols;
use vmm::controlled::{Choice, Chooser, ControlledMachine, Granularity, Point};
use vmm::end::End;
use vmm::fault::Strike;
use vmm::hook::{self, Attach, Watch};
use vmm::{Cancel, Host, MachineConfig};

use crate::finding::{Finding, Run};
use crate::schedule::{Schedule, ScheduleError};
use crate::segment_end::{SegmentEnd, SegmentProfiler};

/// A run as it was recorded: what a replay is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The decisions.
    pub schedule: Schedule,
    /// The run's hash at each switch of the schedule, 16 hex digits each.
    pub switches: Vec<String>,
    /// The hang budget: for how many scheduling points each vCPU might go on without progress.
    pub hang_budget: u64,
    /// The verdict, in words.
    pub verdict: String,
    /// The number of scheduling points.
    pub points: u64,
    /// The run's hash at its end.
    pub hash: String,
}

impl TryFrom<&Finding> for Recorded {
    type Error = ScheduleError;

    fn try_from(finding: &Finding) -> Result<Self, ScheduleError> {
        Ok(Self {
            schedule: finding.schedule()?,
            switches: finding.run.switches.clone(),
            hang_budget: finding.run.hang_budget,
            verdict: finding.verdict.clone(),
            points: finding.run.points,
            hash: finding.run.hash.clone(),
        })
    }
}

impl Recorded {
    /// The same, as part of a finding. `ends` are the segment ends; it is empty if the run couldn't
    /// be repeated.
    pub(crate) fn run(&self, ends: &[SegmentEnd]) -> Run {
        Run {
            hang_budget: self.hang_budget,
            points: self.points,
            hash: self.hash.clone(),
            switches: self.switches.clone(),
            places: ends.iter().map(SegmentEnd::to_string).collect(),
        }
    }

    /// The difference between the end of a run and the recorded end, if there is one.
    pub(crate) fn differs(&self, machine: &ControlledMachine, ending: &End) -> Option<Divergence> {
        let (points, hash) = (machine.points(), format!("{:016x}", machine.hash()));
        let differs = |recorded, happened| Some(Divergence { point: points, recorded, happened });
        let verdict = ending.to_string();
        if verdict != self.verdict {
            return differs(self.verdict.clone(), verdict);
        }
        if (points, &hash) == (self.points, &self.hash) {
            return None;
        }
        differs(
            format!("{} points, hash {}", self.points, self.hash),
            format!("{points} points, hash {hash}"),
        )
    }
}

/// The result of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// How the run ended.
    pub ending: End,
    /// How much virtual time the run took.
    pub time: Duration,
    /// The files to which hooks dumped the machine.
    pub dumps: Vec<PathBuf>,
    /// The faults that struck.
    pub strikes: Vec<Strike>,
    /// The first difference from the recorded run; `None` if the run was reproduced exactly.
    pub divergence: Option<Divergence>,
}

/// The first difference between a run and the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The scheduling point at which it was noticed.
    pub point: u64,
    /// What was recorded.
    pub recorded: String,
    /// What happened.
    pub happened: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at point {}: recorded {}, now {}", self.point, self.recorded, self.happened)
    }
}

/// Runs what was recorded again, on this machine, which must be the one on which it was recorded.
/// The hooks observe the run. Also fails if a hook watches memory that the machine doesn't trap by
/// itself, and with [`vmm::Error::Cancelled`] if the replay is cancelled.
pub fn replay(
    host: &Host,
    recorded: &Recorded,
    machine: &MachineConfig,
    hooks: &[&dyn Attach],
    cancel: &Cancel,
) -> vmm::Result<Replay> {
    follow(host, recorded, machine, hooks, &mut |_, _, _| (), cancel)
}

/// Makes a machine in which a finding can be replayed, at its first instruction, with these hooks.
pub(crate) fn boot(
    host: &Host,
    config: &MachineConfig,
    hang_budget: u64,
    hooks: &[&dyn Attach],
    cancel: &Cancel,
) -> vmm::Result<ControlledMachine> {
    let mut machine = ControlledMachine::new(host, config, Box::new(std::io::sink()))?;
    machine.set_hang_budget(hang_budget);
    machine.set_cancel(cancel.clone());
    let memory = machine.memory();
    let watches = hook::watches(hooks);
    let untrapped = watches.iter().find(|watch| !memory.is_all_trapped(&watch.physical));
    if let Some(Watch { physical: range, .. }) = untrapped {
        let problem = match config.granularity {
            Granularity::Watch => {
                "not among what the finding's machine watches, which is what its vCPUs share: each \
                 access there would be one more scheduling point, and the schedule another run"
            }
            Granularity::Instruction => {
                "the finding's machine watches no memory (--granularity instruction): accesses there \
                 would be done another way, and the schedule mean another run"
            }
        };
        let value = format!("{:#x}..{:#x}", range.start, range.end);
        let setting = "watch of guest-physical";
        return Err(vmm::Error::Config { setting, value, problem: problem.into() });
    }
    if !hooks.is_empty() {
        machine.attach(hooks)?;
    }
    Ok(machine)
}

/// Replays without hooks, and also returns why each segment of the schedule ended.
pub(crate) fn survey(
    host: &Host,
    recorded: &Recorded,
    machine: &MachineConfig,
    symbols: Option<&Symbols>,
    cancel: &Cancel,
) -> vmm::Result<(Replay, Vec<SegmentEnd>)> {
    let mut survey = SegmentProfiler::new(symbols);
    let mut look = |point: &Point, choice, begins| survey.look(point, choice, begins);
    let replay = follow(host, recorded, machine, &[], &mut look, cancel)?;
    Ok((replay, survey.finish()))
}

/// Called at each scheduling point with the choice and whether it begins a segment.
pub(crate) type Look<'a> = &'a mut dyn FnMut(&Point, Choice, bool);

fn follow(
    host: &Host,
    recorded: &Recorded,
    machine: &MachineConfig,
    hooks: &[&dyn Attach],
    look: Look,
    cancel: &Cancel,
) -> vmm::Result<Replay> {
    let mut machine = boot(host, machine, recorded.hang_budget, hooks, cancel)?;
    let plan = Plan::of(recorded);
    let mut cursor = Cursor::default();
    let mut follower = Follower::new(&plan, &mut cursor, look);
    // A run that leaves its schedule is stopped by this budget at the latest.
    let budget = recorded.points.saturating_add(1);
    let ending = machine.run(&mut follower, budget)?;
    machine.detach();
    let divergence = follower.divergence.or_else(|| recorded.differs(&machine, &ending));
    let dumps = machine.dumps().to_vec();
    let strikes = machine.strikes().to_vec();
    Ok(Replay { ending, time: machine.now(), dumps, strikes, divergence })
}

/// A schedule, made ready to be followed.
pub(crate) struct Plan {
    pub(crate) choices: Vec<Choice>,
    /// Where each segment begins, and the run's hash there.
    starts: Vec<(usize, String)>,
}

impl Plan {
    pub(crate) fn of(recorded: &Recorded) -> Self {
        let segments = recorded.schedule.segments().iter();
        let starts = segments.scan(0, |at, segment| {
            let start = *at;
            *at += segment.points as usize;
            Some(start)
        });
        Self {
            choices: recorded.schedule.choices().collect(),
            starts: starts.zip(recorded.switches.iter().cloned()).collect(),
        }
    }
}

/// How far a schedule has been followed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    /// The number of choices that were made.
    pub(crate) next: usize,
    /// The number of segments that were begun.
    next_switch: usize,
}

/// Follows a schedule and compares the run's hash at each switch.
pub(crate) struct Follower<'a> {
    plan: &'a Plan,
    cursor: &'a mut Cursor,
    /// The first difference.
    pub(crate) divergence: Option<Divergence>,
    look: Look<'a>,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(plan: &'a Plan, cursor: &'a mut Cursor, look: Look<'a>) -> Self {
        Self { plan, cursor, divergence: None, look }
    }
}

impl Follower<'_> {
    fn differ(&mut self, point: &Point, recorded: String, happened: String) {
        self.divergence.get_or_insert(Divergence { point: point.number, recorded, happened });
    }
}

impl Chooser for Follower<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let mut begins = false;
        let (plan, Cursor { next, next_switch }) = (self.plan, *self.cursor);
        if let Some((at, recorded)) = plan.starts.get(next_switch)
            && *at == next
        {
            begins = true;
            self.cursor.next_switch += 1;
            let hash = format!("{:016x}", point.hash);
            if hash != *recorded {
                self.differ(point, format!("hash {recorded}"), format!("hash {hash}"));
            }
        }
        let planned = plan.choices.get(next).copied();
        self.cursor.next += 1;
        match planned {
            Some(choice) if point.offers(choice) => {
                (self.look)(point, choice, begins);
                choice
            }
            Some(choice) => {
                self.differ(point, choice.to_string(), format!("only {}", list(point.enabled)));
                point.enabled[0]
            }
            None => {
                let happened = format!("{} could go on", list(point.enabled));
                self.differ(point, "the end".into(), happened);
                point.enabled[0]
            }
        }
    }
}

fn list(choices: &[Choice]) -> String {
    choices.iter().map(Choice::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
