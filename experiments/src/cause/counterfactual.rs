//! The orders that are forced in runs at random, and the failure rates of such runs.

use schemars::JsonSchema;
use serde::Serialize;

use super::executor::Run;
use super::force::{Order, Region};
use super::operation::{Operation, operations};
use super::pairs::Critical;

/// The results of runs at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct FailureRate {
    /// The number of runs.
    pub runs: u32,
    /// Runs that ended in the failure that is explained.
    pub failed: u32,
    /// Runs that ended in another failure.
    pub otherwise: u32,
    /// Runs in which the forced orders could not be kept.
    pub unforced: u32,
}

impl FailureRate {
    /// The sum of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            failed: self.failed + other.failed,
            otherwise: self.otherwise + other.otherwise,
            unforced: self.unforced + other.unforced,
        }
    }

    /// Whether at most one run in a hundred failed in any way.
    pub fn passes(self) -> bool {
        self.runs > 0 && (self.failed + self.otherwise) * 100 <= self.runs
    }

    /// Whether at most one run in a hundred did anything but fail in the same way.
    pub fn fails(self) -> bool {
        self.runs > 0 && (self.runs - self.failed) * 100 <= self.runs
    }
}

/// The other order of a pair, wherever the same two places of the program meet: for each such
/// meeting, the order of the two accesses in the run that passes.
pub(super) fn passing(pair: &Critical) -> Vec<Order> {
    let all: Vec<Operation> =
        operations(&pair.passes).into_iter().map(|(_, operation)| operation).collect();
    let mut orders = Vec::new();
    for (number, late) in all.iter().enumerate().filter(|(_, late)| late.same_site(&pair.first)) {
        let early = all[..number].iter().rev();
        let mut early =
            early.filter(|early| early.same_site(&pair.second) && early.conflicts(late));
        if let Some(early) = early.next() {
            orders.push(Order::of(early, late));
        }
    }
    orders.dedup();
    orders
}

/// The regions of the failing run that a pair describes only half of. Either the pair's second
/// access comes between its first and what the same flow of control does there next, or its first
/// access comes between what the second's flow did there last and the second. Each region comes
/// with the order that is the missing half.
pub(super) fn segments(pair: &Critical, minimal: &Run) -> Vec<(Region, Operation, Operation)> {
    let all: Vec<Operation> =
        operations(minimal).into_iter().map(|(_, operation)| operation).collect();
    let (first, second) = (&pair.first, &pair.second);
    let at = |operation: &Operation| all.iter().position(|other| other.is_like(operation));
    let mut found = Vec::new();
    if !first.kind().is_access() || !second.kind().is_access() {
        return found;
    }
    let of = |one: &Operation, last: &Operation, other: &Operation| Region {
        first: one.program_point.rip,
        last: last.program_point.rip,
        others: [other.program_point.rip].into(),
    };
    let of_flow = |operation: &&Operation, flow: &Operation, other: &Operation| {
        operation.in_order_with(flow)
            && operation.interrupted() == flow.interrupted()
            && operation.conflicts(other)
    };
    if let Some(at) = at(second)
        && let Some(next) = all[at..].iter().find(|operation| of_flow(operation, first, second))
    {
        found.push((of(first, next, second), second.clone(), next.clone()));
    }
    if let Some(at) = at(first)
        && let Some(last) = all[..at].iter().rfind(|operation| of_flow(operation, second, first))
    {
        found.push((of(last, second, first), last.clone(), first.clone()));
    }
    found.retain(|(region, ..)| region.first != region.last);
    found
}

/// The number of steps that the two runs of a pair have in common.
pub(super) fn common(pair: &Critical) -> usize {
    let both = pair.fails.steps.iter().zip(&pair.passes.steps);
    both.take_while(|(one, other)| one.choice == other.choice).count()
}

/// The region of a vCPU's program that another vCPU enters, if these two pairs enclose one.
pub(super) fn region(one: &Critical, other: &Critical) -> Option<Region> {
    let same_target = one.first.access.target == other.second.access.target;
    let enclosed = one.first.in_order_with(&other.second)
        && one.second.in_order_with(&other.first)
        && one.first.step < other.second.step;
    let between_vcpus = one.first.vcpu != one.second.vcpu;
    (same_target && enclosed && between_vcpus).then(|| Region {
        first: one.first.program_point.rip,
        last: other.second.program_point.rip,
        others: [one.second.program_point.rip, other.first.program_point.rip].into(),
    })
}
