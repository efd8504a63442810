//! One access of a run, and which one it is in another run.

use std::collections::HashMap;

use super::lab::Run;
use super::scene::Stand;
use super::trace::{Access, Step, Target};

/// An access, and who did it where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// The vCPU.
    pub vcpu: u32,
    /// The step of the run.
    pub step: usize,
    /// Where the vCPU stood.
    pub stand: Stand,
    /// What it did.
    pub access: Access,
}

impl Deed {
    /// In an interrupt handler: where the vCPU stood when it took the interrupt.
    pub fn interrupted(&self) -> Option<Stand> {
        self.access.interrupted
    }

    /// Whether both are in the same flow of control: of the same vCPU, and not one in an interrupt
    /// handler and the other in what it interrupted.
    pub fn in_order_with(&self, other: &Self) -> bool {
        self.vcpu == other.vcpu && self.interrupted().is_some() == other.interrupted().is_some()
    }

    /// Whether the order of the two may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        !self.in_order_with(other) && self.access.conflicts(&other.access)
    }

    /// Whether both are the same in two runs.
    pub fn is_like(&self, other: &Self) -> bool {
        self.vcpu == other.vcpu && self.stand == other.stand && self.same_site(other)
    }

    /// Whether both are the same place in the program.
    pub fn same_site(&self, other: &Self) -> bool {
        let handler = |deed: &Self| deed.interrupted().is_some();
        self.access.rip == other.access.rip && handler(self) == handler(other)
    }
}

/// What tells an access from all others of its run, and finds it in another one.
pub(super) type Key = (u32, bool, u64, u32);

/// The accesses of a run to shared memory, in order, each with its key.
pub(super) fn deeds(run: &Run) -> Vec<(Key, Deed)> {
    let mut counts: HashMap<(u32, bool, u64), (u32, u32)> = HashMap::new();
    let mut all = Vec::new();
    for (number, step) in run.steps.iter().enumerate() {
        let Some(deed) = deed(number, step) else { continue };
        let handler = deed.interrupted().is_some();
        let count = counts.entry((deed.vcpu, handler, deed.access.rip)).or_default();
        if count.1 != deed.stand.visit {
            *count = (count.0 + 1, deed.stand.visit);
        }
        all.push(((deed.vcpu, handler, deed.access.rip, count.0), deed));
    }
    all
}

/// The access of a step, if it is one to shared memory.
pub(super) fn deed(number: usize, step: &Step) -> Option<Deed> {
    let access = step.access.clone()?;
    matches!(access.target, Target::Memory(_)).then(|| Deed {
        vcpu: step.vcpu(),
        step: number,
        stand: step.stand,
        access,
    })
}

/// The orders that make a run what it is: each access, and the latest ones before it that it conflicts
/// with. All other orders follow from these.
pub(super) fn conflicts(run: &Run) -> Vec<(Deed, Deed)> {
    let all: Vec<Deed> = deeds(run).into_iter().map(|(_, deed)| deed).collect();
    let mut found = Vec::new();
    for (number, second) in all.iter().enumerate() {
        for first in all[..number].iter().rev() {
            if first.conflicts(second) {
                found.push((first.clone(), second.clone()));
            }
            // What came before a store to the same place is behind it.
            if first.access.writes() && first.access.target == second.access.target {
                break;
            }
        }
    }
    found
}

/// The conflicting accesses that come in another order in two runs, as they come in the first; those
/// that come first in it come first.
pub(super) fn differences(one: &Run, other: &Run) -> Vec<(Deed, Deed)> {
    let (ours, theirs) = (deeds(one), deeds(other));
    let places: HashMap<Key, usize> =
        theirs.iter().map(|(key, deed)| (*key, deed.step)).rev().collect();
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
    found
}
