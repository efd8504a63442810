//! Tests which pairs are needed for the failure, and which other orders it takes.
//!
//! *Needed*: with the other order of a pair forced, wherever its two places of the program meet,
//! and everything else left to chance, 99 of 100 runs pass. If that doesn't pass, and two pairs
//! enclose what another vCPU does, their region is closed to that vCPU instead. If that isn't
//! enough either, because a run may reach the same failure by the same two places in another way,
//! the runs begin where the failing schedule and the passing one part. A failure that is rare by
//! chance would be rare with any order, so in that case the other failing orders are forced in
//! addition.
//!
//! *Sufficient*: with the failing orders forced, 99 of 100 runs fail. If they don't, orders of the
//! failing schedule are added, of the same variables first, and removed again while 99 of 100 fail.

mod trials;

use schemars::JsonSchema;
use serde::Serialize;

use super::counterfactual::{FailureRate, passing};
use super::executor::Run;
use super::failure::Failure;
use super::force::{Order, Rules};
use super::minimise::Limits;
use super::operation::{Operation, operations};
use super::pairs::Critical;
use super::races::Race;
use super::schedule_state::ProgramPoint;
use super::trace::Kind;
use super::worker_pool::WorkerPool;

use trials::{Trials, Turned, orders};

/// What was left to chance when a pair's order was reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything else.
    Everything,
    /// Everything else, with the region that the pairs enclose closed to other vCPUs.
    Region,
    /// Everything from where the failing schedule and the passing one part.
    FromThere,
}

/// A pair that passed its test.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The operation that came first when the run failed.
    pub first: Operation,
    /// The operation that came later.
    pub second: Operation,
    /// If the shortest schedule has another operation in the place of `second`: the first operation
    /// of that flow of control after `first` that conflicts with it. For example, a lock that is
    /// found taken is only read there, and not taken.
    pub meets: Option<Operation>,
    /// The runs with the other order, and what was left to chance in them.
    pub reversed: (FailureRate, Scope),
    /// Runs with the other order and all other failing orders forced; only if the failure is rare.
    pub among: Option<FailureRate>,
    /// The index of the claim with which this one encloses what another vCPU does: that came
    /// between this claim's first operation and the other claim's second.
    pub encloses: Option<usize>,
}

impl Claim {
    fn is_about(&self, first: &Operation, second: &Operation) -> bool {
        let same = |operation: &Operation| operation.is_like(second);
        self.first.is_like(first) && (same(&self.second) || self.meets.as_ref().is_some_and(same))
    }
}

/// A further order that the failure takes.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The order of two operations.
    Pair(Box<Operation>, Box<Operation>),
    /// The vCPU takes an interrupt at this program point.
    Interrupt(u32, ProgramPoint),
}

impl Condition {
    fn pair(first: &Operation, second: &Operation) -> Self {
        Self::Pair(Box::new(first.clone()), Box::new(second.clone()))
    }

    fn order(&self) -> Order {
        match self {
            Self::Pair(first, second) => Order::of(first, second),
            Self::Interrupt(vcpu, program_point) => Order::taken_at(*vcpu, *program_point),
        }
    }

    /// Whether both are about the same two flows of control at the same place, or about the same
    /// interrupt.
    fn goes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pair(first, second), Self::Pair(one, two)) => {
                let same = |a: &Operation, b: &Operation| {
                    first.in_order_with(a) && second.in_order_with(b)
                };
                first.access.target == one.access.target && (same(one, two) || same(two, one))
            }
            (Self::Pair(first, second), Self::Interrupt(vcpu, _))
            | (Self::Interrupt(vcpu, _), Self::Pair(first, second)) => [first, second]
                .iter()
                .any(|operation| operation.kind() == Kind::Interrupt && operation.vcpu == *vcpu),
            _ => false,
        }
    }
}

/// The results of all tests of the pairs.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The pairs that are needed.
    pub claims: Vec<Claim>,
    /// The number of pairs that failed their test.
    pub refuted: usize,
    /// The further orders that the failure takes.
    pub conditions: Vec<Condition>,
    /// Runs with all of these orders forced.
    pub forced: FailureRate,
    /// Runs with nothing forced.
    pub chance: FailureRate,
    /// Two other accesses, and runs with the failing orders and the order of these two forced:
    /// first as it was, then reversed.
    pub unrelated: Option<(Operation, Operation, FailureRate, FailureRate)>,
    /// Conflicting accesses of the shortest schedule that nothing orders. Those whose order matters
    /// come first.
    pub races: Vec<Race>,
    /// For each fault of the shortest schedule, in order: runs with all of these orders forced,
    /// and without this fault.
    pub without_fault: Vec<FailureRate>,
}

impl Proof {
    /// Whether every run fails whatever the order, and needs a fault for it.
    pub fn is_decided_by_faults(&self) -> bool {
        self.claims.is_empty()
            && self.chance.fails()
            && self.without_fault.iter().any(|without| without.passes())
    }
}

/// A failure is rare if fewer than one in this number of runs at random fail.
const RARE: u32 = 10;
/// Tests the pairs.
pub(super) fn prove(
    pool: &mut WorkerPool,
    failure: &Failure,
    minimal: &Run,
    critical: &[Critical],
    limits: &Limits,
    vcpus: u32,
    seed: u64,
) -> vmm::Result<Proof> {
    let mut trials = Trials { pool, failure, runs: limits.trials, seed };
    let chance = trials.all(&Rules::default())?;
    let mut kept: Vec<(&Critical, FailureRate, Scope)> = Vec::new();
    let mut halves: Vec<(Critical, FailureRate)> = Vec::new();
    let mut tested = 0;
    let (mixed, plain): (Vec<_>, Vec<_>) = critical.iter().partition(|pair| pair.is_mixed());
    for pair in plain.into_iter().chain(mixed) {
        if pair.is_mixed() && !kept.is_empty() {
            break;
        }
        tested += 1;
        if let Some(turned) = trials.reversed(pair, critical, minimal)? {
            let Turned { rate: reversed, scope, half } = turned;
            kept.push((pair, reversed, scope));
            halves.extend(half.map(|(first, second)| {
                let (fails, passes) = (pair.fails.clone(), pair.passes.clone());
                (Critical { first, second, fails, passes }, reversed)
            }));
        }
    }
    for (half, reversed) in &halves {
        let known = kept
            .iter()
            .any(|(pair, ..)| pair.first.is_like(&half.first) && pair.second.is_like(&half.second));
        if !known {
            kept.push((half, *reversed, Scope::Region));
        }
    }
    let mut needed: Vec<Condition> =
        kept.iter().map(|(pair, ..)| Condition::pair(&pair.first, &pair.second)).collect();
    let claimed = needed.len();
    trials.complete(minimal, critical, &mut needed)?;
    let mut forced =
        if needed.is_empty() { chance } else { trials.all(&orders(&needed).into())? };
    let rare = chance.failed * RARE < chance.runs && forced.fails();
    let (mut claims, mut unclaimed) = (Vec::new(), Vec::new());
    for (number, (pair, reversed, scope)) in kept.iter().enumerate() {
        let among = if rare { trials.among(&passing(pair), number, &needed)? } else { None };
        if among.map_or(!rare, FailureRate::passes) {
            claims.push(Claim {
                first: pair.first.clone(),
                second: pair.second.clone(),
                meets: meets(minimal, pair),
                reversed: (*reversed, *scope),
                among,
                encloses: None,
            });
        } else {
            unclaimed.push(number);
        }
    }
    // An order that had to be added may be needed as well.
    let mut conditions = Vec::new();
    for number in claimed..needed.len() {
        match trials.condition(number, &needed, rare)? {
            Some(claim) => claims.push(claim),
            None => conditions.push(needed[number].clone()),
        }
    }
    // The figure for all orders must be about the orders that the report names. So an order without
    // a claim is removed, or kept as a condition if the others don't suffice without it.
    for number in unclaimed.into_iter().rev() {
        let mut fewer = needed.clone();
        let order = fewer.remove(number);
        let without = if fewer.is_empty() { chance } else { trials.all(&orders(&fewer).into())? };
        if forced.fails() && !without.fails() {
            conditions.push(order);
        } else {
            (needed, forced) = (fewer, without);
        }
    }
    enclose(&mut claims);
    let unrelated =
        if forced.fails() && claimed > 0 { trials.unrelated(minimal, &needed)? } else { None };
    let program_points = |pair: &&Critical| kept.iter().any(|(it, ..)| std::ptr::eq(*it, *pair));
    let refuted = tested - critical.iter().filter(program_points).count();
    let races =
        if forced.fails() { trials.races(minimal, &needed, &claims, vcpus)? } else { Vec::new() };
    let without_fault = trials.without_each_fault(&needed)?;
    Ok(Proof { claims, refuted, conditions, forced, chance, unrelated, races, without_fault })
}

/// The operation that comes second in the shortest schedule, if it isn't the pair's own.
fn meets(minimal: &Run, pair: &Critical) -> Option<Operation> {
    let all = operations(minimal).into_iter().map(|(_, operation)| operation);
    let mut behind = all.skip_while(|operation| !operation.is_like(&pair.first)).skip(1);
    let there = |operation: &Operation| {
        operation.in_order_with(&pair.second) && operation.conflicts(&pair.first)
    };
    behind.find(there).filter(|operation| !operation.is_like(&pair.second))
}

/// Finds claims that together enclose what another vCPU does.
fn enclose(claims: &mut [Claim]) {
    for number in 0..claims.len() {
        let (one, all) = (&claims[number], &claims[..]);
        let other = all.iter().position(|other| {
            one.first.access.target == other.second.access.target
                && one.first.in_order_with(&other.second)
                && one.second.in_order_with(&other.first)
                && one.first.program_point != other.second.program_point
                && one.first.step < other.second.step
        });
        claims[number].encloses = other.filter(|other| *other != number);
    }
}
