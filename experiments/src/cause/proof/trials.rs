//! Makes the runs that test the pairs.

use std::ops::Range;

use vmm::controlled::Choice;

use super::{Claim, Condition, Scope};
use crate::cause::counterfactual::{FailureRate, common, passing, region, segments};
use crate::cause::executor::Run;
use crate::cause::failure::Failure;
use crate::cause::force::{Order, Region, Rules};
use crate::cause::operation::{Operation, conflicts, prevented};
use crate::cause::pairs::Critical;
use crate::cause::races::{Race, unordered};
use crate::cause::worker_pool::{self, WorkerPool};

/// The number of runs after which most sets of orders that don't pass, or don't fail, have shown
/// it.
const SCREENING_RUNS: u32 = 12;
/// The maximum number of orders that are tried one by one.
const MAX_SINGLE_TRIALS: usize = 24;
/// The maximum number of pairs that are tried as unrelated.
const OTHERS: usize = 4;

/// The parameters that all runs have in common.
pub(super) struct Trials<'a, 'b> {
    pub(super) pool: &'a mut WorkerPool<'b>,
    pub(super) failure: &'a Failure,
    pub(super) runs: u32,
    pub(super) seed: u64,
}

/// A pair that passed its test.
pub(super) struct Turned {
    pub(super) rate: FailureRate,
    pub(super) scope: Scope,
    /// The order that completes the region, if the pair was tested with it.
    pub(super) half: Option<(Operation, Operation)>,
}

impl Trials<'_, '_> {
    pub(super) fn all(&mut self, rules: &Rules) -> vmm::Result<FailureRate> {
        self.make(rules, None, 0..self.runs)
    }

    fn make(
        &mut self,
        rules: &Rules,
        behind: Option<(&Run, usize)>,
        numbers: Range<u32>,
    ) -> vmm::Result<FailureRate> {
        let (failure, seed) = (self.failure, self.seed);
        self.pool.make(worker_pool::Order { failure, rules, behind, seed }, numbers)
    }

    /// Makes all runs with these rules, and returns their rate if they pass; gives up after a few
    /// runs if they don't.
    fn that_pass(
        &mut self,
        rules: &Rules,
        behind: Option<(&Run, usize)>,
    ) -> vmm::Result<Option<FailureRate>> {
        let few = SCREENING_RUNS.min(self.runs);
        let mut rate = self.make(rules, behind, 0..few)?;
        if rate.failed + rate.otherwise <= 1 {
            rate = rate.and(self.make(rules, behind, few..self.runs)?);
        }
        // If the order could be kept in less than half of the runs, they show nothing about it.
        let kept = rate.unforced * 2 <= rate.runs;
        Ok((kept && rate.runs == self.runs && rate.passes()).then_some(rate))
    }

    /// Reverses a pair's order. `None` if the runs then don't pass.
    pub(super) fn reversed(
        &mut self,
        pair: &Critical,
        all: &[Critical],
        minimal: &Run,
    ) -> vmm::Result<Option<Turned>> {
        let orders = passing(pair);
        if orders.is_empty() {
            return Ok(None);
        }
        let regions: Vec<Region> = all
            .iter()
            .flat_map(|other| [region(pair, other), region(other, pair)])
            .flatten()
            .collect();
        let local = (&pair.fails, common(pair));
        let ways = [
            (Rules::from(orders.clone()), None, Scope::Everything),
            (Rules { orders: Vec::new(), regions }, None, Scope::Region),
            (Rules::from(orders), Some(local), Scope::FromThere),
        ];
        for (rules, behind, scope) in ways {
            if rules.orders.is_empty() && rules.regions.is_empty() {
                continue;
            }
            if let Some(rate) = self.that_pass(&rules, behind)? {
                return Ok(Some(Turned { rate, scope, half: None }));
            }
        }
        // The missing half of the region may not have been found as a pair of its own.
        for (region, first, second) in segments(pair, minimal) {
            let rules = Rules { orders: Vec::new(), regions: vec![region] };
            if let Some(rate) = self.that_pass(&rules, None)? {
                let half = Some((first, second));
                return Ok(Some(Turned { rate, scope: Scope::Region, half }));
            }
        }
        Ok(None)
    }

    /// Reverses an order among all other orders, except those about the same two vCPUs at the same
    /// place. `None` if the orders can't be kept.
    pub(super) fn among(
        &mut self,
        turned: &[Order],
        number: usize,
        needed: &[Condition],
    ) -> vmm::Result<Option<FailureRate>> {
        let others = needed.iter().enumerate();
        let others =
            others.filter(|(other, order)| *other != number && !needed[number].goes_with(order));
        let rules: Vec<_> =
            turned.iter().copied().chain(others.map(|(_, order)| order.order())).collect();
        let rate = self.all(&rules.into())?;
        Ok((rate.unforced < rate.runs).then_some(rate))
    }

    /// Puts an order that was added to the same test.
    pub(super) fn condition(
        &mut self,
        number: usize,
        needed: &[Condition],
        rare: bool,
    ) -> vmm::Result<Option<Claim>> {
        let Condition::Pair(first, second) = &needed[number] else { return Ok(None) };
        let turned = vec![Order::of(second, first)];
        let Some(rate) = self.that_pass(&turned.clone().into(), None)? else { return Ok(None) };
        let among = if rare { self.among(&turned, number, needed)? } else { None };
        Ok(among.map_or(!rare, FailureRate::passes).then(|| Claim {
            first: Operation::clone(first),
            second: Operation::clone(second),
            meets: None,
            reversed: (rate, Scope::Everything),
            among,
            encloses: None,
        }))
    }

    /// Adds further orders until the runs fail.
    pub(super) fn complete(
        &mut self,
        minimal: &Run,
        critical: &[Critical],
        needed: &mut Vec<Condition>,
    ) -> vmm::Result<()> {
        if needed.is_empty() || self.fails(&orders(needed))? {
            return Ok(());
        }
        let claimed = needed.len();
        let (near, far): (Vec<_>, Vec<_>) =
            conflicts(minimal).into_iter().partition(|(first, _)| is_involved(first, needed));
        let interrupts = minimal.steps.iter().filter_map(|step| match step.choice {
            Choice::Interrupt(vcpu) => Some(Condition::Interrupt(vcpu, step.program_point)),
            Choice::Step(_) | Choice::Fault(..) => None,
        });
        let pair = |(first, second): (Operation, Operation)| Condition::pair(&first, &second);
        let mut all = needed.clone();
        let prevented = critical.iter().flat_map(|pair| prevented(minimal, &pair.passes));
        let mut known: Vec<(Operation, Operation)> = Vec::new();
        for (first, second) in prevented {
            if !known.iter().any(|(one, two)| one.is_like(&first) && two.is_like(&second)) {
                known.push((first, second));
            }
        }
        all.extend(known.into_iter().map(pair));
        all.extend(near.into_iter().map(pair).chain(interrupts));
        if !self.fails(&orders(&all))? {
            all.extend(far.into_iter().map(pair));
            if !self.fails(&orders(&all))? {
                return Ok(());
            }
        }
        let mut group = (all.len() - claimed).div_ceil(2);
        while group > 0 {
            let mut from = claimed;
            while from < all.len() {
                let mut fewer = all.clone();
                fewer.drain(from..(from + group).min(all.len()));
                if self.fails(&orders(&fewer))? {
                    all = fewer;
                } else {
                    from += group;
                }
            }
            group = if group == 1 || all.len() > MAX_SINGLE_TRIALS { 0 } else { group.div_ceil(2) };
        }
        *needed = all;
        Ok(())
    }

    /// Whether 99 of 100 runs with these orders fail. Makes a few runs at a time, because most sets
    /// of orders with which they don't fail show it soon.
    fn fails(&mut self, orders: &[Order]) -> vmm::Result<bool> {
        let rules = orders.to_vec().into();
        let mut all = FailureRate::default();
        while all.runs < self.runs {
            let to = (all.runs + SCREENING_RUNS).min(self.runs);
            all = all.and(self.make(&rules, None, all.runs..to)?);
            if (all.runs - all.failed) * 100 > self.runs {
                return Ok(false);
            }
        }
        Ok(all.fails())
    }

    /// Keeps the orders, and leaves out each fault in turn.
    pub(super) fn without_each_fault(
        &mut self,
        needed: &[Condition],
    ) -> vmm::Result<Vec<FailureRate>> {
        let (faults, rules) = (self.pool.executor.faults().to_vec(), orders(needed).into());
        let mut rates = Vec::new();
        for number in 0..faults.len() {
            let mut others = faults.clone();
            others.remove(number);
            self.pool.executor.set_faults(others);
            rates.push(self.all(&rules)?);
        }
        self.pool.executor.set_faults(faults);
        Ok(rates)
    }

    /// Reverses the order of each pair of accesses that nothing orders.
    pub(super) fn races(
        &mut self,
        minimal: &Run,
        needed: &[Condition],
        claims: &[Claim],
        vcpus: u32,
    ) -> vmm::Result<Vec<Race>> {
        let mut races = Vec::new();
        for (first, second) in unordered(minimal, vcpus).into_iter().take(MAX_SINGLE_TRIALS) {
            let pair = Condition::pair(&first, &second);
            let others = needed.iter().filter(|order| !pair.goes_with(order));
            let mut rules: Vec<_> = others.map(Condition::order).collect();
            rules.push(Order::of(&second, &first));
            let claimed = claims.iter().find(|claim| claim.is_about(&first, &second));
            let turned = match claimed {
                Some(claim) => claim.reversed.0,
                None => self.make(&rules.into(), None, 0..SCREENING_RUNS.min(self.runs))?,
            };
            races.push(Race { first, second, turned });
        }
        races.sort_by_key(Race::matters);
        Ok(races)
    }

    /// Reverses the order of two other accesses.
    pub(super) fn unrelated(
        &mut self,
        minimal: &Run,
        needed: &[Condition],
    ) -> vmm::Result<Option<(Operation, Operation, FailureRate, FailureRate)>> {
        let orders = orders(needed);
        let all = conflicts(minimal).into_iter();
        let others = all.filter(|(first, second)| {
            let order = Order::of(first, second);
            let used = orders.iter().any(|other| {
                [other.first, other.then].iter().any(|e| *e == order.first || *e == order.then)
            });
            let accesses = first.kind().is_access() && second.kind().is_access();
            accesses && first.vcpu != second.vcpu && !is_involved(first, needed) && !used
        });
        for (first, second) in others.take(OTHERS) {
            let mut with = |order: Order| {
                let rules: Vec<_> = orders.iter().copied().chain([order]).collect();
                self.all(&rules.into())
            };
            let turned = with(Order::of(&second, &first))?;
            // Many orders can't be reversed alone, because they follow from another order.
            if turned.unforced == 0 && turned.fails() {
                let as_it_was = with(Order::of(&first, &second))?;
                return Ok(Some((first, second, as_it_was, turned)));
            }
        }
        Ok(None)
    }
}

pub(super) fn orders(needed: &[Condition]) -> Vec<Order> {
    needed.iter().map(Condition::order).collect()
}

/// Whether an order is about the same place as this operation.
fn is_involved(operation: &Operation, needed: &[Condition]) -> bool {
    needed.iter().any(|order| match order {
        Condition::Pair(first, _) => first.access.target == operation.access.target,
        Condition::Interrupt(..) => false,
    })
}
