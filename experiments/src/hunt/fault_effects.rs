//! Whether a failure needs the faults that struck in its run.
//!
//! The schedule is followed once more for each fault, without that fault: what would have happened
//! by itself takes its place. If the schedule can't be followed any further, the vCPUs go on in
//! turn.

use vmm::controlled::{Choice, Chooser, Point};
use vmm::end::End;
use vmm::fault::{Strike, Struck};
use vmm::{Cancel, Host, MachineConfig};

use crate::fault_effect::{FaultEffect, Without};
use crate::replay::{Recorded, boot};
use crate::strategy::RoundRobin;
use crate::waits::Names;

/// How many times as long as the failing run the run without the fault may get,
const LENGTH_FACTOR: u64 = 10;
/// plus this number of scheduling points.
const EXTRA_POINTS: u64 = 100_000;

/// The effects of all faults of a failing run.
pub(super) fn effects(
    host: &Host,
    recorded: &Recorded,
    machine: &MachineConfig,
    strikes: &[Strike],
    names: &Names,
    cancel: &Cancel,
) -> vmm::Result<Vec<FaultEffect>> {
    let effect = |(number, strike): (usize, &Strike)| {
        Ok(FaultEffect {
            point: strike.point,
            what: strike.to_string(),
            place: names.place(strike.rip),
            without: without(host, recorded, machine, number, strike, cancel)?,
        })
    };
    strikes.iter().enumerate().map(effect).collect()
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
