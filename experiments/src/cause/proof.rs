//! Which of the pairs stand their test, and what else it takes to fail.
//!
//! *Needed*: with the other order of a pair forced, wherever its two places of the program meet, and
//! everything else left to chance, 99 of 100 runs pass. Where two pairs enclose what another vCPU
//! does, their stretch is closed to it instead. If that isn't enough, as a run may come to the same
//! failure by the same two places in another way, the runs begin where the failing schedule and the
//! passing one part. A failure that is rare by chance would be so with any order: there, the other
//! failing orders are forced besides.
//!
//! *Sufficient*: with the failing orders forced, 99 of 100 fail. Where they don't, orders of the
//! failing schedule are added, of the same variables first, and taken away again while 99 of 100 fail.

use std::ops::Range;

use serde::Serialize;

use super::counterfactual::{Share, common, passing, region};
use super::crew::{self, Crew};
use super::deed::{Deed, conflicts, deeds};
use super::failure::Failure;
use super::force::{Order, Region, Rules};
use super::lab::Run;
use super::minimise::Limits;
use super::pairs::Critical;
use super::races::unordered;
use super::scene::Stand;
use vmm::controlled::Choice;

/// What was left to chance when a pair's order was turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything else.
    Everything,
    /// Everything else, with the stretch that the pairs enclose closed to others.
    Region,
    /// Everything from where the failing schedule and the passing one part.
    FromThere,
}

/// A pair that has stood its test.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What came first when it failed.
    pub first: Deed,
    /// What came later.
    pub second: Deed,
    /// Where it is not `second` itself: what its vCPU does first at that place, later than `first`, in
    /// the shortest schedule. A lock that is found taken is read there, and not taken.
    pub meets: Option<Deed>,
    /// The other order, and what was left to chance.
    pub reversed: (Share, Scope),
    /// The other order, with all other failing orders forced; only of failures that are rare.
    pub among: Option<Share>,
    /// The number of the claim with which it encloses what another vCPU does: that came in between
    /// this one's first access and that one's second.
    pub encloses: Option<usize>,
}

impl Claim {
    fn is_about(&self, first: &Deed, second: &Deed) -> bool {
        let same = |deed: &Deed| deed.is_like(second);
        self.first.is_like(first) && (same(&self.second) || self.meets.as_ref().is_some_and(same))
    }
}

/// An order that it takes besides.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Of two accesses.
    Pair(Box<(Deed, Deed)>),
    /// An interrupt is taken where the vCPU stands here.
    Interrupt(u32, Stand),
}

impl Condition {
    fn order(&self) -> Order {
        match self {
            Self::Pair(pair) => Order::of(&pair.0, &pair.1),
            Self::Interrupt(vcpu, stand) => Order::taken_at(*vcpu, *stand),
        }
    }

    /// Whether both are about the same two flows of control at the same place.
    fn goes_with(&self, other: &Self) -> bool {
        let (Self::Pair(mine), Self::Pair(theirs)) = (self, other) else { return false };
        let ((first, second), (one, two)) = (&**mine, &**theirs);
        let same = |a: &Deed, b: &Deed| first.in_order_with(a) && second.in_order_with(b);
        first.access.target == one.access.target && (same(one, two) || same(two, one))
    }
}

/// All that was found out about the pairs.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The pairs that are needed.
    pub claims: Vec<Claim>,
    /// How many were not.
    pub refuted: usize,
    /// What else it takes.
    pub conditions: Vec<Condition>,
    /// All of these orders forced.
    pub forced: Share,
    /// Nothing forced.
    pub chance: Share,
    /// The order of two other accesses, with the failing orders forced: as it was, and turned round.
    pub unrelated: Option<(Deed, Deed, Share, Share)>,
    /// Accesses of the shortest schedule that nothing orders. Those whose order matters come first.
    pub races: Vec<Race>,
}

/// Two accesses that nothing orders.
#[derive(Clone, Debug)]
pub struct Race {
    /// What came first.
    pub first: Deed,
    /// What came later.
    pub second: Deed,
    /// Runs with the other order, and with the failing orders that are not about the same; all of
    /// them unforced if one waits for the other.
    pub turned: Share,
}

/// Whether the order of two accesses matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matters {
    /// Turned round, hardly a run fails.
    Harmful,
    /// Turned round, some runs fail.
    Sometimes,
    /// Turned round, it fails as well.
    NoDifference,
    /// It can't be turned round: one waits for the other.
    Wait,
}

impl Race {
    /// Whether their order matters.
    pub fn matters(&self) -> Matters {
        let Share { runs, failed, unforced, .. } = self.turned;
        match runs - unforced {
            0 => Matters::Wait,
            kept if failed * 5 <= kept => Matters::Harmful,
            kept if failed * 10 >= kept * 9 => Matters::NoDifference,
            _ => Matters::Sometimes,
        }
    }
}

/// With less than one failure in so many runs, a failure is rare.
const RARE: u32 = 10;
/// Most of what doesn't pass, or doesn't fail, shows in so many runs.
const FEW: u32 = 12;
/// The most orders that are tried one by one.
const MOST: usize = 24;
/// The most pairs that are tried as unrelated.
const OTHERS: usize = 4;

struct Trials<'a, 'b> {
    crew: &'a mut Crew<'b>,
    failure: &'a Failure,
    runs: u32,
    seed: u64,
}

/// Puts pairs to the test.
pub(super) fn prove(
    crew: &mut Crew,
    failure: &Failure,
    minimal: &Run,
    critical: &[Critical],
    limits: &Limits,
    vcpus: u32,
    seed: u64,
) -> vmm::Result<Proof> {
    let mut trials = Trials { crew, failure, runs: limits.trials, seed };
    let chance = trials.all(&Rules::default())?;
    let mut kept: Vec<(&Critical, Share, Scope)> = Vec::new();
    for pair in critical {
        if let Some((reversed, scope)) = trials.reversed(pair, critical)? {
            kept.push((pair, reversed, scope));
        }
    }
    let mut needed: Vec<Condition> = kept
        .iter()
        .map(|(pair, ..)| Condition::Pair(Box::new((pair.first.clone(), pair.second.clone()))))
        .collect();
    let claimed = needed.len();
    trials.complete(minimal, &mut needed)?;
    let forced = trials.all(&orders(&needed).into())?;
    let rare = chance.failed * RARE < chance.runs && forced.fails();
    let mut claims = Vec::new();
    for (number, (pair, reversed, scope)) in kept.iter().enumerate() {
        let among = if rare { trials.among(&passing(pair), number, &needed)? } else { None };
        if among.is_none_or(Share::passes) {
            claims.push(Claim {
                first: pair.first.clone(),
                second: pair.second.clone(),
                meets: meets(minimal, pair),
                reversed: (*reversed, *scope),
                among,
                encloses: None,
            });
        }
    }
    // What had to be added may be needed as well.
    let mut conditions = Vec::new();
    for number in claimed..needed.len() {
        match trials.condition(number, &needed, rare)? {
            Some(claim) => claims.push(claim),
            None => conditions.push(needed[number].clone()),
        }
    }
    enclose(&mut claims);
    let unrelated =
        if forced.fails() && claimed > 0 { trials.unrelated(minimal, &needed)? } else { None };
    let refuted = critical.len() - kept.len();
    let races =
        if forced.fails() { trials.races(minimal, &needed, &claims, vcpus)? } else { Vec::new() };
    Ok(Proof { claims, refuted, conditions, forced, chance, unrelated, races })
}

/// What comes second in the shortest schedule.
fn meets(minimal: &Run, pair: &Critical) -> Option<Deed> {
    let all = deeds(minimal).into_iter().map(|(_, deed)| deed);
    let mut behind = all.skip_while(|deed| !deed.is_like(&pair.first)).skip(1);
    let there = |deed: &Deed| deed.in_order_with(&pair.second) && deed.conflicts(&pair.first);
    behind.find(there).filter(|deed| !deed.is_like(&pair.second))
}

/// Finds the claims that enclose something together.
fn enclose(claims: &mut [Claim]) {
    for number in 0..claims.len() {
        let (one, all) = (&claims[number], &claims[..]);
        let other = all.iter().position(|other| {
            one.first.access.target == other.second.access.target
                && one.first.in_order_with(&other.second)
                && one.second.in_order_with(&other.first)
                && one.first.stand != other.second.stand
                && one.first.step < other.second.step
        });
        claims[number].encloses = other.filter(|other| *other != number);
    }
}

impl Trials<'_, '_> {
    fn all(&mut self, rules: &Rules) -> vmm::Result<Share> {
        self.make(rules, None, 0..self.runs)
    }

    fn make(
        &mut self,
        rules: &Rules,
        behind: Option<(&Run, usize)>,
        numbers: Range<u32>,
    ) -> vmm::Result<Share> {
        let (failure, seed) = (self.failure, self.seed);
        self.crew.make(crew::Order { failure, rules, behind, seed }, numbers)
    }

    /// All runs with these rules if they pass; a few of them if not.
    fn that_pass(
        &mut self,
        rules: &Rules,
        behind: Option<(&Run, usize)>,
    ) -> vmm::Result<Option<Share>> {
        let few = FEW.min(self.runs);
        let mut share = self.make(rules, behind, 0..few)?;
        if share.failed + share.otherwise <= 1 {
            share = share.and(self.make(rules, behind, few..self.runs)?);
        }
        Ok((share.runs == self.runs && share.passes()).then_some(share))
    }

    /// Turns a pair's order round. `None` if it doesn't always pass then.
    fn reversed(
        &mut self,
        pair: &Critical,
        all: &[Critical],
    ) -> vmm::Result<Option<(Share, Scope)>> {
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
            if let Some(share) = self.that_pass(&rules, behind)? {
                return Ok(Some((share, scope)));
            }
        }
        Ok(None)
    }

    /// Turns an order round among all others, except those that go with it: of the same two vCPUs at
    /// the same place. `None` if they can't be kept then.
    fn among(
        &mut self,
        turned: &[Order],
        number: usize,
        needed: &[Condition],
    ) -> vmm::Result<Option<Share>> {
        let others = needed.iter().enumerate();
        let others =
            others.filter(|(other, order)| *other != number && !needed[number].goes_with(order));
        let rules: Vec<_> =
            turned.iter().copied().chain(others.map(|(_, order)| order.order())).collect();
        let share = self.all(&rules.into())?;
        Ok((share.unforced < share.runs).then_some(share))
    }

    /// Puts an order that was added to the same test.
    fn condition(
        &mut self,
        number: usize,
        needed: &[Condition],
        rare: bool,
    ) -> vmm::Result<Option<Claim>> {
        let Condition::Pair(pair) = &needed[number] else { return Ok(None) };
        let (first, second) = &**pair;
        let turned = vec![Order::of(second, first)];
        let Some(share) = self.that_pass(&turned.clone().into(), None)? else { return Ok(None) };
        let among = if rare { self.among(&turned, number, needed)? } else { None };
        Ok(among.is_none_or(Share::passes).then(|| Claim {
            first: first.clone(),
            second: second.clone(),
            meets: None,
            reversed: (share, Scope::Everything),
            among,
            encloses: None,
        }))
    }

    /// Adds what else it takes to fail.
    fn complete(&mut self, minimal: &Run, needed: &mut Vec<Condition>) -> vmm::Result<()> {
        if needed.is_empty() || self.fails(&orders(needed))? {
            return Ok(());
        }
        let claimed = needed.len();
        let (near, far): (Vec<_>, Vec<_>) =
            conflicts(minimal).into_iter().partition(|(first, _)| is_involved(first, needed));
        let interrupts = minimal.steps.iter().filter_map(|step| match step.choice {
            Choice::Interrupt(vcpu) => Some(Condition::Interrupt(vcpu, step.stand)),
            Choice::Step(_) => None,
        });
        let pair = |pair| Condition::Pair(Box::new(pair));
        let mut all = needed.clone();
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
            group = if group == 1 || all.len() > MOST { 0 } else { group.div_ceil(2) };
        }
        *needed = all;
        Ok(())
    }

    /// Whether 99 of 100 runs with these orders fail. A few at a time, as most sets of orders that don't
    /// show it soon.
    fn fails(&mut self, orders: &[Order]) -> vmm::Result<bool> {
        let rules = orders.to_vec().into();
        let mut all = Share::default();
        while all.runs < self.runs {
            let to = (all.runs + FEW).min(self.runs);
            all = all.and(self.make(&rules, None, all.runs..to)?);
            if (all.runs - all.failed) * 100 > self.runs {
                return Ok(false);
            }
        }
        Ok(all.fails())
    }

    /// Turns the order of what nothing orders round.
    fn races(
        &mut self,
        minimal: &Run,
        needed: &[Condition],
        claims: &[Claim],
        vcpus: u32,
    ) -> vmm::Result<Vec<Race>> {
        let mut races = Vec::new();
        for (first, second) in unordered(minimal, vcpus).into_iter().take(MOST) {
            let pair = Condition::Pair(Box::new((first.clone(), second.clone())));
            let others = needed.iter().filter(|order| !pair.goes_with(order));
            let mut rules: Vec<_> = others.map(Condition::order).collect();
            rules.push(Order::of(&second, &first));
            let claimed = claims.iter().find(|claim| claim.is_about(&first, &second));
            let turned = match claimed {
                Some(claim) => claim.reversed.0,
                None => self.make(&rules.into(), None, 0..FEW.min(self.runs))?,
            };
            races.push(Race { first, second, turned });
        }
        races.sort_by_key(Race::matters);
        Ok(races)
    }

    /// Turns the order of two other accesses round.
    fn unrelated(
        &mut self,
        minimal: &Run,
        needed: &[Condition],
    ) -> vmm::Result<Option<(Deed, Deed, Share, Share)>> {
        let orders = orders(needed);
        let all = conflicts(minimal).into_iter();
        let others = all.filter(|(first, second)| {
            let order = Order::of(first, second);
            let used = orders.iter().any(|other| {
                [other.first, other.then].iter().any(|e| *e == order.first || *e == order.then)
            });
            first.vcpu != second.vcpu && !is_involved(first, needed) && !used
        });
        for (first, second) in others.take(OTHERS) {
            let mut with = |order: Order| {
                let rules: Vec<_> = orders.iter().copied().chain([order]).collect();
                self.all(&rules.into())
            };
            let turned = with(Order::of(&second, &first))?;
            // Many orders can't be turned round alone: what follows from another is one.
            if turned.unforced == 0 && turned.fails() {
                let as_it_was = with(Order::of(&first, &second))?;
                return Ok(Some((first, second, as_it_was, turned)));
            }
        }
        Ok(None)
    }
}

fn orders(needed: &[Condition]) -> Vec<Order> {
    needed.iter().map(Condition::order).collect()
}

/// Whether these orders are about the same place.
fn is_involved(deed: &Deed, needed: &[Condition]) -> bool {
    needed.iter().any(|order| match order {
        Condition::Pair(pair) => pair.0.access.target == deed.access.target,
        Condition::Interrupt(..) => false,
    })
}
