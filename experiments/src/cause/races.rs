//! Accesses that nothing orders.
//!
//! Happens-before with vector clocks, as in Djit+ and `FastTrack` (PLDI 2009), on the steps of one run.
//! What orders vCPUs:
//! * a locked instruction, and every access to a place that some locked instruction of the run
//!   touches: a plain store there gives a lock back, a plain load looks whether it is free;
//! * an IPI, from its sender's store to the interrupt command register to where it is taken;
//! * INIT and SIPI, in the same way, to the first step of the vCPU that they start.
//!
//! Nothing else does. On x86 a plain store may be meant as a release, and a loop that waits for it is
//! right; so such accesses are called unordered and not wrong. Whether their order matters is seen by
//! turning it round.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::Choice;

use super::counterfactual::FailureRate;
use super::executor::Run;
use super::operation::{Operation, operation};
use super::trace::{Access, Kind, Step, Target};

/// Two accesses that nothing orders.
#[derive(Clone, Debug)]
pub struct Race {
    /// What came first.
    pub first: Operation,
    /// What came later.
    pub second: Operation,
    /// Runs with the other order, and with the failing orders that are not about the same; all of
    /// them unforced if the other order could not be made.
    pub turned: FailureRate,
}

/// Whether the order of two accesses matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matters {
    /// Turned round, hardly a run fails.
    Harmful,
    /// Turned round, some runs fail.
    Sometimes,
    /// Turned round, it fails as well.
    NoDifference,
    /// In none of the runs could it be turned round: mostly, one waits for the other.
    Wait,
}

impl Race {
    /// Whether their order matters.
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

/// A vector clock: for each vCPU, how much of it is known to have happened.
type Clock = Vec<u64>;

/// The interrupt command register, and the destination that goes with it (Intel SDM vol. 3, 11.6.1).
const COMMAND: u64 = 0xfee0_0300;
const DESTINATION: u64 = 0xfee0_0310;

/// A vCPU's latest access at some place.
#[derive(Clone)]
struct Latest {
    operation: Operation,
    /// The vCPU's own time then.
    time: u64,
}

#[derive(Default)]
struct Place {
    /// By vCPU: its latest store and its latest load.
    writes: BTreeMap<u32, Latest>,
    reads: BTreeMap<u32, Latest>,
}

/// Clocks on the way through a run.
struct Order {
    vcpus: Vec<Clock>,
    /// What those know who have used a place to order themselves.
    places: BTreeMap<u64, Clock>,
    /// What the senders of IPIs to a vCPU knew.
    sent: Vec<Clock>,
    /// The destination that each vCPU has written last.
    destinations: Vec<u32>,
}

/// The pairs of conflicting accesses that nothing orders: each pair of instructions once, as they
/// came first in the run.
pub(super) fn unordered(run: &Run, vcpus: u32) -> Vec<(Operation, Operation)> {
    let count = vcpus as usize;
    let ordering: BTreeSet<u64> = run.steps.iter().filter_map(locked).flatten().collect();
    let mut order = Order {
        // Each vCPU begins at 1, so that nobody knows of its first step.
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

/// Compares an access with the latest ones of the other vCPUs there.
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

/// The places that a locked instruction touches.
fn locked(step: &Step) -> Option<impl Iterator<Item = u64> + use<'_>> {
    let access = step.access.as_ref().filter(|access| access.kind == Kind::Update)?;
    Some(words(access))
}

/// The aligned 8-byte words that an access touches; none that is not to memory.
fn words(access: &Access) -> impl Iterator<Item = u64> + use<> {
    let (from, size) = match access.target {
        Target::Memory(address) => (address, u64::from(access.size.max(1))),
        _ => (0, 0),
    };
    (from / 8..(from + size).div_ceil(8)).map(|word| word * 8)
}

impl Order {
    /// A vCPU learns what whoever interrupted or started it knew.
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
                // Bits 18 and 19: a shorthand for the destination. vCPU n has APIC id n.
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
