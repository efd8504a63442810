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
use crate::observed::FailureSignature;
use crate::replay::{Recorded, boot};
use crate::strategy::RoundRobin;
use crate::waits::{Names, Row};

/// How many times as long as the failing run the run without the fault may get,
const LENGTH_FACTOR: u64 = 10;
/// plus this number of scheduling points.
const EXTRA_POINTS: u64 = 100_000;

/// A run that failed, and what its vCPUs wait for.
pub(crate) struct Failure<'a> {
    pub(crate) recorded: &'a Recorded,
    pub(crate) waits: &'a [Row],
}

/// The effects of all faults of a failing run. A run without a fault that can't be made leaves its
/// effect open.
pub(crate) fn effects(
    host: &Host,
    failed: &Failure,
    machine: &MachineConfig,
    strikes: &[Strike],
    names: &Names,
    cancel: &Cancel,
) -> Vec<FaultEffect> {
    let effect = |strike: &Strike| FaultEffect {
        point: strike.point,
        what: strike.to_string(),
        place: names.place(strike.rip),
        without: match without(host, failed, machine, strike, names, cancel) {
            Ok(without) => without,
            Err(vmm::Error::Cancelled) => Without::NotTried,
            Err(error) => {
                tracing::warn!("the run without this fault could not be made: {error}");
                Without::Unknown
            }
        },
    };
    strikes.iter().map(effect).collect()
}

/// Runs the schedule without this fault.
fn without(
    host: &Host,
    failed: &Failure,
    config: &MachineConfig,
    strike: &Strike,
    names: &Names,
    cancel: &Cancel,
) -> vmm::Result<Without> {
    let recorded = failed.recorded;
    let mut machine = boot(host, config, recorded.hang_budget, &[], cancel)?;
    let choices = recorded.schedule.choices().collect();
    let mut follower = Follower { choices, next: 0, strike };
    let budget = recorded.points.saturating_mul(LENGTH_FACTOR).saturating_add(EXTRA_POINTS);
    let ending = machine.run(&mut follower, budget)?;
    if matches!(ending, End::Budget | End::Runaway { .. }) {
        return Ok(Without::Unknown);
    }
    if !ending.is_failure() {
        return Ok(Without::Passes);
    }
    let waits = names.table(&machine.waiters()?, machine.memory());
    let now = FailureSignature::new(&ending.to_string(), &waits);
    let then = FailureSignature::new(&recorded.verdict, failed.waits);
    Ok(if now == then { Without::FailsTheSame } else { Without::FailsOtherwise })
}

fn is_fault(choice: Choice) -> bool {
    matches!(choice, Choice::Fault(..))
}

/// What would have happened in place of a fault. `None` if nothing would have.
fn by_itself(strike: &Strike) -> Option<Choice> {
    match strike.event {
        Struck::Ipi { .. } => Some(Choice::Step(strike.vcpu)),
        Struck::LostInterrupt(_) => Some(Choice::Interrupt(strike.vcpu)),
        Struck::SpuriousInterrupt(_) | Struck::SpuriousNmi | Struck::Bit { .. } => None,
    }
}

/// Follows choices as long as they are possible, but without one fault, and then lets the vCPUs go
/// on in turn.
struct Follower<'a> {
    choices: Vec<Choice>,
    next: usize,
    strike: &'a Strike,
}

impl Follower<'_> {
    /// The next choice, with what would have happened by itself in place of the fault.
    fn planned(&mut self, point: &Point) -> Option<Choice> {
        let planned = *self.choices.get(self.next)?;
        self.next += 1;
        // A strike has the number of the point that follows it.
        if is_fault(planned) && point.number + 1 == self.strike.point {
            return by_itself(self.strike).or_else(|| {
                self.next += 1;
                self.choices.get(self.next - 1).copied()
            });
        }
        Some(planned)
    }
}

impl Chooser for Follower<'_> {
    fn choose(&mut self, point: &Point) -> Choice {
        let planned = self.planned(point).filter(|choice| point.offers(*choice));
        planned.unwrap_or_else(|| {
            self.next = usize::MAX;
            RoundRobin.choose(point)
        })
    }
}
