//! A finding run again, checked at every switch.

use std::fmt;

use probes::Symbols;
use vmm::controlled::{Choice, Chooser, ControlledMachine, Point};
use vmm::{Host, MachineConfig};

use crate::finding::Finding;
use crate::places::{Stop, Survey};
use crate::schedule::{Schedule, ScheduleError};

/// A run as it was recorded: what a replay is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The decisions.
    pub schedule: Schedule,
    /// The run's hash at each switch of the schedule, 16 hex digits each.
    pub switches: Vec<String>,
    /// How many points each vCPU might go on without progress.
    pub hang_budget: u64,
    /// What the run came to, in words.
    pub verdict: String,
    /// Scheduling points.
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

/// How a replay went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Exactly as recorded.
    Reproduced,
    /// The run differed.
    Diverged(Divergence),
}

/// The first difference.
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

/// Runs what was recorded again, on this machine, which must be the one that it was recorded on.
pub fn replay(host: &Host, recorded: &Recorded, machine: &MachineConfig) -> vmm::Result<Replay> {
    follow(host, recorded, machine, &mut |_, _, _| ())
}

/// The same, and looks where the vCPUs stand at the switches.
pub(crate) fn survey(
    host: &Host,
    recorded: &Recorded,
    machine: &MachineConfig,
    symbols: Option<&Symbols>,
) -> vmm::Result<(Replay, Vec<Stop>)> {
    let mut survey = Survey::new(symbols);
    let replay = follow(host, recorded, machine, &mut |point, choice, begins| {
        survey.look(point, choice, begins);
    })?;
    Ok((replay, survey.finish()))
}

/// Called at each point with the choice, and whether it begins a stretch.
type Look<'a> = &'a mut dyn FnMut(&Point, Choice, bool);

fn follow(
    host: &Host,
    recorded: &Recorded,
    machine: &MachineConfig,
    look: Look,
) -> vmm::Result<Replay> {
    let mut machine = ControlledMachine::new(host, machine, Box::new(std::io::sink()))?;
    machine.set_hang_budget(recorded.hang_budget);
    let mut follower = Follower {
        choices: recorded.schedule.choices().collect(),
        starts: recorded
            .schedule
            .stretches()
            .iter()
            .scan(0, |at, stretch| {
                let start = *at;
                *at += stretch.points as usize;
                Some(start)
            })
            .zip(recorded.switches.iter().cloned())
            .collect(),
        next: 0,
        next_switch: 0,
        divergence: None,
        look,
    };
    // A run that leaves its schedule is stopped by the budget at the latest.
    let ending = machine.run(&mut follower, recorded.points.saturating_add(1))?;
    if let Some(divergence) = follower.divergence {
        return Ok(Replay::Diverged(divergence));
    }
    let differs = |recorded: String, happened: String| {
        Ok(Replay::Diverged(Divergence { point: machine.points(), recorded, happened }))
    };
    let verdict = ending.to_string();
    if verdict != recorded.verdict {
        return differs(recorded.verdict.clone(), verdict);
    }
    let hash = format!("{:016x}", machine.hash());
    if (machine.points(), &hash) != (recorded.points, &recorded.hash) {
        return differs(
            format!("{} points, hash {}", recorded.points, recorded.hash),
            format!("{} points, hash {hash}", machine.points()),
        );
    }
    Ok(Replay::Reproduced)
}

/// Follows a schedule and compares the run's hash at each switch.
struct Follower<'a> {
    choices: Vec<Choice>,
    starts: Vec<(usize, String)>,
    next: usize,
    next_switch: usize,
    divergence: Option<Divergence>,
    look: Look<'a>,
}

impl Follower<'_> {
    fn differ(&mut self, point: &Point, recorded: String, happened: String) {
        self.divergence.get_or_insert(Divergence { point: point.number, recorded, happened });
    }
}

impl Chooser for Follower<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let mut begins = false;
        if let Some((at, recorded)) = self.starts.get(self.next_switch).cloned()
            && at == self.next
        {
            begins = true;
            self.next_switch += 1;
            let hash = format!("{:016x}", point.hash);
            if hash != recorded {
                self.differ(point, format!("hash {recorded}"), format!("hash {hash}"));
            }
        }
        let planned = self.choices.get(self.next).copied();
        self.next += 1;
        match planned {
            Some(choice) if point.enabled.contains(&choice) => {
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
