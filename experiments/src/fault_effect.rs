//! Whether a failure needs the faults that struck in its run.
//!
//! The schedule is followed once more for each fault, without that fault: what would have happened
//! by itself takes its place. If the schedule can't be followed any further, the vCPUs go on in
//! turn.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmm::controlled::{Choice, Chooser, Point};
use vmm::end::End;
use vmm::fault::{Strike, Struck};
use vmm::{Cancel, Host, MachineConfig};

use crate::replay::{Recorded, boot};
use crate::strategy::RoundRobin;
use crate::waits::Names;

/// How many times as long as the failing run the run without the fault may get,
const LENGTH_FACTOR: u64 = 10;
/// plus this number of scheduling points.
const EXTRA_POINTS: u64 = 100_000;

/// A fault that struck in a run that failed.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultEffect {
    /// The scheduling point at which it struck.
    pub point: u64,
    /// What it did, in words.
    pub what: String,
    /// Where the vCPU was at which it struck.
    pub place: String,
    /// How the run ends without this fault.
    pub without: Without,
}

/// How a run ends without one of its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Without {
    /// It passes: with this schedule, the failure needs the fault.
    Passes,
    /// It fails in the same way: the failure doesn't need the fault.
    FailsTheSame,
    /// It fails in another way.
    FailsOtherwise,
    /// It was cut short, so nothing is known.
    Unknown,
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "without it, the same schedule passes",
            Self::FailsTheSame => "without it, the same schedule fails in the same way",
            Self::FailsOtherwise => "without it, the same schedule fails in another way",
            Self::Unknown => "without it, the same schedule came to no end",
        })
    }
}

impl fmt::Display for FaultEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, what, place, without } = self;
        write!(f, "fault: at point {point} {what}, in {place}; {without}")
    }
}

impl FaultEffect {
    /// The effects of all faults of a failing run.
    pub(crate) fn of(
        host: &Host,
        recorded: &Recorded,
        machine: &MachineConfig,
        strikes: &[Strike],
        names: &Names,
        cancel: &Cancel,
    ) -> vmm::Result<Vec<Self>> {
        let effect = |(number, strike): (usize, &Strike)| {
            Ok(Self {
                point: strike.point,
                what: strike.to_string(),
                place: names.place(strike.rip),
                without: without(host, recorded, machine, number, strike, cancel)?,
            })
        };
        strikes.iter().enumerate().map(effect).collect()
    }
}

/// Runs the schedule without the fault that struck as the `number`-th, from 0.
fn without(
    host: &Host,
    recorded: &Recorded,
    config: &MachineConfig,
    number: usize,
    strike: &Strike,
    cancel: &Cancel,
) -> vmm::Result<Without> {
    let mut machine = boot(host, config, recorded.hang_budget, &[], cancel)?;
    let mut choices: Vec<Choice> = recorded.schedule.choices().collect();
    let faults = choices.iter().enumerate().filter(|(_, choice)| is_fault(**choice));
    if let Some(at) = faults.map(|(at, _)| at).nth(number) {
        match by_itself(strike) {
            Some(choice) => choices[at] = choice,
            None => drop(choices.remove(at)),
        }
    }
    let mut follower = Follower { choices, next: 0 };
    let budget = recorded.points.saturating_mul(LENGTH_FACTOR).saturating_add(EXTRA_POINTS);
    Ok(match machine.run(&mut follower, budget)? {
        End::Budget | End::Runaway { .. } => Without::Unknown,
        ending if !ending.is_failure() => Without::Passes,
        ending if ending.to_string() == recorded.verdict => Without::FailsTheSame,
        _ => Without::FailsOtherwise,
    })
}

fn is_fault(choice: Choice) -> bool {
    matches!(choice, Choice::Fault(..))
}

/// What would have happened in place of a fault. `None` if nothing would have.
fn by_itself(strike: &Strike) -> Option<Choice> {
    match strike.event {
        Struck::Ipi { .. } => Some(Choice::Step(strike.vcpu)),
        Struck::LostInterrupt(_) => Some(Choice::Interrupt(strike.vcpu)),
        Struck::SpuriousInterrupt(_) | Struck::SpuriousNmi => None,
    }
}

/// Follows choices as long as they are possible, and then lets the vCPUs go on in turn.
struct Follower {
    choices: Vec<Choice>,
    next: usize,
}

impl Chooser for Follower {
    fn choose(&mut self, point: &Point) -> Choice {
        let planned = self.choices.get(self.next).filter(|choice| point.offers(**choice));
        self.next = if planned.is_some() { self.next + 1 } else { usize::MAX };
        planned.copied().unwrap_or_else(|| RoundRobin.choose(point))
    }
}
