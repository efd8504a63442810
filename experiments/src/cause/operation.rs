//! What a vCPU does that may decide whether a run fails, and how the same operation is found in
//! another run. An operation is an access to shared memory, the taking of an interrupt, turning
//! interrupts off, or an NMI, INIT or SIPI to another vCPU.

use std::collections::{HashMap, HashSet};

use super::executor::Run;
use super::schedule_state::ProgramPoint;
use super::trace::{Access, Kind, Step, Target};

/// An operation of a vCPU, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The vCPU.
    pub vcpu: u32,
    /// The step of the run.
    pub step: usize,
    /// The program point of the vCPU.
    pub program_point: ProgramPoint,
    /// The operation itself, as an access.
    pub access: Access,
}

impl Operation {
    /// In an interrupt handler: the program point at which the vCPU took the interrupt.
    pub fn interrupted(&self) -> Option<ProgramPoint> {
        self.access.interrupted
    }

    /// The kind of operation.
    pub fn kind(&self) -> Kind {
        self.access.kind
    }

    /// Whether it belongs to an interrupt of the vCPU's program.
    fn interrupts(&self) -> bool {
        self.interrupted().is_some() || self.kind() == Kind::Interrupt
    }

    /// Its position in the run.
    pub fn order(&self) -> (usize, bool) {
        // An interrupt is taken after the access before which the vCPU is stopped.
        (self.step, matches!(self.kind(), Kind::Interrupt | Kind::Off))
    }

    /// Whether both belong to the same flow of control: the same vCPU, and either both or neither
    /// in its interrupt handlers.
    pub fn in_order_with(&self, other: &Self) -> bool {
        self.vcpu == other.vcpu && self.interrupts() == other.interrupts()
    }

    /// Whether the order of the two may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        let reaches = |one: &Self, other: &Self| match (one.kind(), one.access.target) {
            // These start or stop a vCPU, or interrupt it whether or not it has interrupts off.
            (Kind::Nmi | Kind::Init | Kind::Sipi, Target::Vcpus(targets)) => {
                match other.access.target {
                    Target::Vcpus(others) if other.kind().is_sent() => targets & others != 0,
                    _ => other.kind().is_access() && targets >> other.vcpu & 1 != 0,
                }
            }
            // An interrupt could have been taken at another place of the same program.
            (Kind::Interrupt, _) => {
                one.vcpu == other.vcpu && (other.kind().is_access() || other.kind() == Kind::Off)
            }
            _ => false,
        };
        !self.in_order_with(other)
            && (self.access.conflicts(&other.access)
                || reaches(self, other)
                || reaches(other, self))
    }

    /// Whether both are the same operation in two runs.
    pub fn is_like(&self, other: &Self) -> bool {
        // An interrupt is the same wherever it is taken.
        let there = self.program_point == other.program_point || self.kind() == Kind::Interrupt;
        self.vcpu == other.vcpu && there && self.same_site(other)
    }

    /// Whether both are at the same place of the program.
    pub fn same_site(&self, other: &Self) -> bool {
        if self.kind() == Kind::Interrupt || other.kind() == Kind::Interrupt {
            let what =
                |operation: &Self| (operation.kind(), operation.vcpu, operation.access.value);
            return what(self) == what(other);
        }
        let act = |operation: &Self| Some(operation.kind()).filter(|kind| !kind.is_access());
        let what =
            |operation: &Self| (operation.access.rip, operation.interrupts(), act(operation));
        what(self) == what(other)
    }
}

/// Distinguishes an operation from all others of its run, and finds it in another run.
pub(super) type Key = ((u32, bool, bool, u64), u32);

/// The operations of a run, in order, each with its key.
pub(super) fn operations(run: &Run) -> Vec<(Key, Operation)> {
    let mut counts: HashMap<(u32, bool, bool, u64), (u32, u32)> = HashMap::new();
    let mut all = Vec::new();
    for (number, step) in run.steps.iter().enumerate() {
        for operation in operations_of(number, step) {
            // Interrupts are identified by their vector, because they may be taken anywhere.
            let (place, visit) = match operation.kind() {
                Kind::Interrupt => (operation.access.value, number as u32 + 1),
                _ => (operation.access.rip, operation.program_point.visit),
            };
            let other = !operation.kind().is_access();
            let place = (operation.vcpu, operation.interrupted().is_some(), other, place);
            let count = counts.entry(place).or_default();
            if count.1 != visit {
                *count = (count.0 + 1, visit);
            }
            all.push(((place, count.0), operation));
        }
    }
    all
}

/// The operations of a step, in order.
pub(super) fn operations_of(number: usize, step: &Step) -> impl Iterator<Item = Operation> + use<> {
    let vcpu = step.vcpu();
    let act = |kind, target, value, sender: Option<u32>| Operation {
        vcpu,
        step: number,
        program_point: step.program_point,
        access: Access {
            kind,
            target: Target::Vcpus(target),
            size: 0,
            before: sender.map_or(0, |sender| u64::from(sender) + 1),
            value,
            rip: step.access.as_ref().map_or(step.program_point.rip, |access| access.rip),
            interrupted: step.access.as_ref().and_then(|access| access.interrupted),
            stack: step.access.as_ref().map(|access| access.stack.clone()).unwrap_or_default(),
        },
    };
    let own = 1 << vcpu;
    let sent = step.sends.map(|sent| act(sent.kind, sent.targets, 0, None));
    let taken = step.taken.map(|it| act(Kind::Interrupt, own, it.vector.into(), it.sender));
    let off = step.turns_off.then(|| act(Kind::Off, own, 0, None));
    [operation(number, step), sent, taken, off].into_iter().flatten()
}

/// The access of a step, if it is to shared memory.
pub(super) fn operation(number: usize, step: &Step) -> Option<Operation> {
    let access = step.access.clone()?;
    matches!(access.target, Target::Memory(_)).then(|| Operation {
        vcpu: step.vcpu(),
        step: number,
        program_point: step.program_point,
        access,
    })
}

/// How many later places of a vCPU are considered after each NMI, INIT or SIPI to it.
const BEHIND: usize = 4;

/// The orders that determine a run: each operation, with the latest operations before it that
/// conflict with it. All other orders follow from these.
pub(super) fn conflicts(run: &Run) -> Vec<(Operation, Operation)> {
    let all: Vec<Operation> = operations(run).into_iter().map(|(_, operation)| operation).collect();
    // The place where an interrupt is taken is a condition of its own.
    let all: Vec<Operation> =
        all.into_iter().filter(|operation| operation.kind() != Kind::Interrupt).collect();
    let mut found: Vec<(Operation, Operation)> = Vec::new();
    for (number, second) in all.iter().enumerate() {
        for first in all[..number].iter().rev() {
            let told = || found.iter().filter(|(one, _)| one == first);
            let known = !first.kind().is_access()
                && (told().count() >= BEHIND || told().any(|(_, two)| two.same_site(second)));
            if first.conflicts(second) && !known {
                found.push((first.clone(), second.clone()));
                if !second.kind().is_access() {
                    break;
                }
            }
            // The orders with operations before this store to the same place follow from the order
            // with the store.
            let is_access = first.kind().is_access();
            if is_access && first.access.writes() && first.access.target == second.access.target {
                break;
            }
        }
    }
    found
}

/// The conflicting operations whose order differs between two runs, in the order that they have in
/// `one`; pairs whose second operation comes earlier in `one` come first. At the end are pairs
/// whose second operation never happens in `one` because the first prevents it.
pub(super) fn differences(one: &Run, other: &Run) -> Vec<(Operation, Operation)> {
    let (ours, theirs) = (operations(one), operations(other));
    let places: HashMap<Key, (usize, bool)> =
        theirs.iter().map(|(key, operation)| (*key, operation.order())).rev().collect();
    let mut found = Vec::new();
    for (later, (key, second)) in ours.iter().enumerate() {
        let Some(second_there) = places.get(key) else { continue };
        for (key, first) in &ours[..later] {
            if first.conflicts(second)
                && places.get(key).is_some_and(|first_there| first_there > second_there)
            {
                found.push((first.clone(), second.clone()));
            }
        }
    }
    let behind = |first: &Key, second: &Operation| {
        places.get(first).is_none_or(|there| *there > second.order())
    };
    found.extend(in_the_way(&ours, &theirs, behind));
    found
}

/// The operations of a run that may have prevented an operation of another run, each with the first
/// operation that it prevented. Pairs of two accesses are left out.
pub(super) fn prevented(run: &Run, other: &Run) -> Vec<(Operation, Operation)> {
    let mut found: Vec<(Operation, Operation)> = Vec::new();
    for (first, second) in in_the_way(&operations(run), &operations(other), |_, _| true) {
        if !found.iter().any(|(known, _)| *known == first) {
            found.push((first, second));
        }
    }
    found
}

/// The operations that only `theirs` has, each with the last operation of `ours` that conflicts
/// with it.
fn in_the_way(
    ours: &[(Key, Operation)],
    theirs: &[(Key, Operation)],
    may_be: impl Fn(&Key, &Operation) -> bool,
) -> Vec<(Operation, Operation)> {
    let here: HashSet<Key> = ours.iter().map(|(key, _)| *key).collect();
    let never = theirs.iter().filter(|(key, _)| !here.contains(key));
    let pair = |second: &Operation| {
        let mut all = ours.iter().filter(|(key, first)| {
            let accesses = first.kind().is_access() && second.kind().is_access();
            first.conflicts(second) && !accesses && may_be(key, second)
        });
        // That interrupts were turned off says more than the access after that.
        let alone = all.clone().rfind(|(_, first)| !first.kind().is_access());
        let last = alone.or_else(|| all.next_back());
        last.map(|(_, first)| (first.clone(), second.clone()))
    };
    never.filter_map(|(_, second)| pair(second)).collect()
}
