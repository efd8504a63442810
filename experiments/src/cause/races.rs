//! Finds conflicting accesses that nothing orders.
//!
//! Computes happens-before with vector clocks, as in Djit+ and `FastTrack` (PLDI 2009), on the
//! steps of one run. These order vCPUs:
//! * a locked instruction, and every access to a place that some locked instruction of the run
//!   touches: a plain store there releases a lock, a plain load checks whether it is free;
//! * an IPI, from its sender's store to the interrupt command register to the place where it is
//!   taken;
//! * INIT and SIPI, in the same way, to the first step of the vCPU that they start.
//!
//! Nothing else does. On x86 a plain store may be meant as a release, and a loop that waits for it
//! is correct; so such accesses are called unordered and not wrong. Forcing the other order shows
//! whether it matters.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::Choice;

use super::counterfactual::FailureRate;
use super::executor::Run;
use super::operation::{Operation, operation};
use super::trace::{Access, Kind, Step, Target};

/// Two conflicting accesses that nothing orders.
#[derive(Clone, Debug)]
pub struct Race {
    /// The access that came first.
    pub first: Operation,
    /// The access that came later.
    pub second: Operation,
    /// Runs with the other order, and with the failing orders that are about other places; all of
    /// them count as unforced if the other order never came about.
    pub turned: FailureRate,
}

/// Whether the order of two accesses matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matters {
    /// With the other order, hardly any run fails.
    Harmful,
    /// With the other order, some runs fail.
    Sometimes,
    /// With the other order, runs fail as well.
    NoDifference,
    /// The other order came about in none of the runs; mostly, one access waits for the other.
    Wait,
}

impl Race {
    /// Whether the order of the two accesses matters.
    pub fn matters(&self) -> Matters {
        let FailureRate { runs, failed, unforced, .. } = self.turned;
        match runs - unforced {
            0 => Matters::Wait,
            kept if failed * 5 <= kept => Matters::Harmful,
            kept if failed * 10 >= kept * 9 => Matters::NoDifference,
            _ => Matters::Sometimes,
        }
    }
}

/// A vector clock: for each vCPU, how many of its steps are known to have happened.
type Clock = Vec<u64>;

/// The interrupt command register, and its destination register (Intel SDM vol. 3, 11.6.1).
const COMMAND: u64 = 0xfee0_0300;
const DESTINATION: u64 = 0xfee0_0310;

/// A vCPU's latest access to a place.
#[derive(Clone)]
struct Latest {
    operation: Operation,
    /// The vCPU's own time at that access.
    time: u64,
}

#[derive(Default)]
struct Place {
    /// For each vCPU: its latest store and its latest load.
    writes: BTreeMap<u32, Latest>,
    reads: BTreeMap<u32, Latest>,
}

/// The clocks at a step of the run.
struct Order {
    vcpus: Vec<Clock>,
    /// For each place that orders its users: what these vCPUs knew.
    places: BTreeMap<u64, Clock>,
    /// For each vCPU: what the senders of IPIs to it knew.
    sent: Vec<Clock>,
    /// The destination that each vCPU has written last.
    destinations: Vec<u32>,
}

/// The pairs of conflicting accesses that nothing orders. Each pair of instructions is listed once,
/// as it first came in the run.
pub(super) fn unordered(run: &Run, vcpus: u32) -> Vec<(Operation, Operation)> {
    let count = vcpus as usize;
    let ordering: BTreeSet<u64> = run.steps.iter().filter_map(locked).flatten().collect();
    let mut order = Order {
        // Each vCPU's own clock begins at 1, so that no other vCPU knows of its first step.
        vcpus: (0..count).map(|own| (0..count).map(|v| u64::from(v == own)).collect()).collect(),
        places: BTreeMap::new(),
        sent: vec![vec![0; count]; count],
        destinations: vec![0; count],
    };
    let mut places: BTreeMap<u64, Place> = BTreeMap::new();
    let mut found: Vec<(Operation, Operation)> = Vec::new();
    for (number, step) in run.steps.iter().enumerate() {
        order.hear(step);
        if let Some(access) = &step.access {
            match access.target {
                Target::Memory(_) if words(access).any(|word| ordering.contains(&word)) => {
                    order.synchronise(step.vcpu(), access);
                }
                Target::Memory(_) => {
                    if let Some(operation) = operation(number, step) {
                        look(&order, &mut places, &operation, &mut found);
                    }
                }
                Target::Device(register) => order.send(step.vcpu(), register, access.value),
                Target::Port(_) | Target::Vcpus(_) => {}
            }
        }
        order.vcpus[step.vcpu() as usize][step.vcpu() as usize] += 1;
    }
    found
}

/// Compares an access with the latest accesses of the other vCPUs to the same words.
fn look(
    order: &Order,
    places: &mut BTreeMap<u64, Place>,
    operation: &Operation,
    found: &mut Vec<(Operation, Operation)>,
) {
    let known = &order.vcpus[operation.vcpu as usize];
    for word in words(&operation.access) {
        let place = places.entry(word).or_default();
        let reads = place.reads.values().filter(|_| operation.access.writes());
        for other in place.writes.values().chain(reads) {
            let unordered = other.operation.vcpu != operation.vcpu
                && known[other.operation.vcpu as usize] < other.time
                && other.operation.access.conflicts(&operation.access);
            let reproduce = |(one, two): &(Operation, Operation)| {
                one.same_site(&other.operation) && two.same_site(operation)
                    || one.same_site(operation) && two.same_site(&other.operation)
            };
            if unordered && !found.iter().any(reproduce) {
                found.push((other.operation.clone(), operation.clone()));
            }
        }
        let time = known[operation.vcpu as usize];
        let latest = Latest { operation: operation.clone(), time };
        if operation.access.writes() {
            place.writes.insert(operation.vcpu, latest);
        } else {
            place.reads.insert(operation.vcpu, latest);
        }
    }
}

/// The words that a locked instruction touches.
fn locked(step: &Step) -> Option<impl Iterator<Item = u64> + use<'_>> {
    let access = step.access.as_ref().filter(|access| access.kind == Kind::Update)?;
    Some(words(access))
}

/// The aligned 8-byte words that an access touches; no words if it isn't to memory.
fn words(access: &Access) -> impl Iterator<Item = u64> + use<> {
    let (from, size) = match access.target {
        Target::Memory(address) => (address, u64::from(access.size.max(1))),
        _ => (0, 0),
    };
    (from / 8..(from + size).div_ceil(8)).map(|word| word * 8)
}

impl Order {
    /// A vCPU that takes an interrupt or was just started learns what the sender knew.
    fn hear(&mut self, step: &Step) {
        let vcpu = step.vcpu() as usize;
        let first = self.vcpus[vcpu][vcpu] == 1;
        if matches!(step.choice, Choice::Interrupt(_)) || first {
            let sent = self.sent[vcpu].clone();
            join(&mut self.vcpus[vcpu], &sent);
        }
    }

    fn synchronise(&mut self, vcpu: u32, access: &Access) {
        let own = &mut self.vcpus[vcpu as usize];
        for word in words(access) {
            let place = self.places.entry(word).or_insert_with(|| vec![0; own.len()]);
            join(own, place);
            if access.writes() {
                join(place, own);
            }
        }
    }

    fn send(&mut self, vcpu: u32, register: u64, value: u64) {
        match register {
            DESTINATION => self.destinations[vcpu as usize] = (value >> 24) as u32,
            COMMAND => {
                let own = self.vcpus[vcpu as usize].clone();
                // Bits 18 and 19 are a shorthand for the destination. vCPU n has APIC id n.
                let (shorthand, to) = (value >> 18 & 3, self.destinations[vcpu as usize]);
                for (other, sent) in (0..).zip(&mut self.sent) {
                    let meant = match shorthand {
                        0 => other == to || to == 0xff,
                        1 => other == vcpu,
                        2 => true,
                        _ => other != vcpu,
                    };
                    if meant {
                        join(sent, &own);
                    }
                }
            }
            _ => {}
        }
    }
}

fn join(one: &mut Clock, other: &Clock) {
    for (mine, theirs) in one.iter_mut().zip(other) {
        *mine = (*mine).max(*theirs);
    }
}

#[cfg(test)]
#[path = "races_tests.rs"]
mod tests;
