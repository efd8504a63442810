//! Makes runs at random in which some orders are forced.

use std::collections::{BTreeSet, HashSet};

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vmm::controlled::{Choice, Point};

use super::executor::Decide;
use super::operation::Operation;
use super::schedule_state::{ProgramPoint, ScheduleState};
use super::trace::{Kind, Step};

/// Something that a vCPU does once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// The vCPU makes the access at this program point.
    Access(u32, ProgramPoint),
    /// The vCPU goes on after that access without taking an interrupt.
    GoesOn(u32, ProgramPoint),
    /// The vCPU takes an interrupt.
    Interrupt(u32),
}

/// An order of two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Order {
    pub(super) first: Event,
    pub(super) then: Event,
}

impl Order {
    /// The order of two operations.
    pub(super) fn of(first: &Operation, then: &Operation) -> Self {
        let access = |operation: &Operation| match operation.kind() {
            Kind::Interrupt => Event::Interrupt(operation.vcpu),
            // Interrupts are turned off on the way to the next access.
            Kind::Off => Event::GoesOn(operation.vcpu, operation.program_point),
            _ => Event::Access(operation.vcpu, operation.program_point),
        };
        let interrupt = Event::Interrupt(first.vcpu);
        let both = [first, then];
        if first.vcpu != then.vcpu
            || both.iter().any(|operation| operation.kind() == Kind::Interrupt)
        {
            return Self { first: access(first), then: access(then) };
        }
        match (first.interrupted(), then.interrupted()) {
            // A handler runs as a whole. An interrupt is taken after the access before which the
            // vCPU is stopped, so it must be taken at the same program point again.
            (Some(program_point), None) => Self::taken_at(first.vcpu, program_point),
            (None, Some(_)) => Self { first: access(first), then: interrupt },
            _ => Self { first: access(first), then: access(then) },
        }
    }

    /// The vCPU takes its interrupt at this program point.
    pub(super) fn taken_at(vcpu: u32, program_point: ProgramPoint) -> Self {
        Self { first: Event::Interrupt(vcpu), then: Event::GoesOn(vcpu, program_point) }
    }
}

/// A region of a program that other vCPUs are kept out of, wherever it is run: while a vCPU is
/// between the instructions `first` and `last`, other vCPUs don't make the accesses `others`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) others: BTreeSet<u64>,
}

/// The rules that a run has to keep.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) orders: Vec<Order>,
    pub(super) regions: Vec<Region>,
}

impl From<Vec<Order>> for Rules {
    fn from(orders: Vec<Order>) -> Self {
        Self { orders, regions: Vec::new() }
    }
}

/// Chooses at random among the transitions that keep the rules.
#[derive(Debug)]
pub(super) struct Forcing<'a> {
    rules: &'a Rules,
    done: HashSet<Event>,
    /// The vCPUs that are in a region, each with the region's index.
    inside: HashSet<(u32, usize)>,
    generator: ChaCha8Rng,
    /// Whether no enabled transition kept the rules at some point.
    pub(super) broken: bool,
}

impl<'a> Forcing<'a> {
    /// `before` holds the steps with which the run begins.
    pub(super) fn new(rules: &'a Rules, before: &[Step], seed: u64, run: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(run);
        let (done, inside) = (HashSet::new(), HashSet::new());
        let mut forcing = Self { rules, done, inside, generator, broken: false };
        for step in before.iter().filter(|step| step.runs) {
            forcing.happens(step.choice, step.program_point);
        }
        forcing
    }

    fn keeps(&self, choice: Choice, program_point: ProgramPoint) -> bool {
        let does = events(choice, program_point);
        let in_order = |order: &Order| match does.iter().position(|event| *event == order.then) {
            Some(at) => self.done.contains(&order.first) || does[..at].contains(&order.first),
            None => true,
        };
        let gets_in = |(number, region): (usize, &Region)| {
            region.others.contains(&program_point.rip)
                && self.inside.iter().any(|(vcpu, of)| *of == number && *vcpu != choice.vcpu())
        };
        self.rules.orders.iter().all(in_order)
            && !self.rules.regions.iter().enumerate().any(gets_in)
    }

    fn happens(&mut self, choice: Choice, program_point: ProgramPoint) {
        self.done.extend(events(choice, program_point));
        for (number, region) in self.rules.regions.iter().enumerate() {
            if program_point.rip == region.last {
                self.inside.remove(&(choice.vcpu(), number));
            } else if program_point.rip == region.first {
                self.inside.insert((choice.vcpu(), number));
            }
        }
    }
}

/// The events of a choice, in order.
fn events(choice: Choice, program_point: ProgramPoint) -> [Event; 2] {
    let vcpu = choice.vcpu();
    let access = Event::Access(vcpu, program_point);
    match choice {
        Choice::Step(_) | Choice::Fault(..) => [access, Event::GoesOn(vcpu, program_point)],
        Choice::Interrupt(_) => [access, Event::Interrupt(vcpu)],
    }
}

impl Decide for Forcing<'_> {
    fn decide(&mut self, point: &Point, schedule_state: &ScheduleState, _: Choice) -> Choice {
        let program_point = |choice: Choice| schedule_state.program_points[choice.vcpu() as usize];
        let keeps = |choice: &Choice| self.keeps(*choice, program_point(*choice));
        let allowed: Vec<Choice> = point.enabled.iter().copied().filter(keeps).collect();
        let from = if allowed.is_empty() {
            self.broken = true;
            point.enabled
        } else {
            &allowed
        };
        let choice = from[self.generator.random_range(0..from.len())];
        self.happens(choice, program_point(choice));
        choice
    }
}

#[cfg(test)]
#[path = "force_tests.rs"]
mod tests;
