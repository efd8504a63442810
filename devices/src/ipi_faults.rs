//! Faults of the delivery of IPIs: messages that are lost, late, sent twice or sent elsewhere.
//!
//! Hardware does none of this. A guest that must survive it is one that has timeouts, or one whose
//! own bugs look like it: a doorbell that is missed, an interrupt that comes twice.

use crate::lapic::{Ipi, IpiMode};

/// What happens to an IPI instead of its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpiFault {
    /// It is lost.
    Drop,
    /// It is delivered at this time, in nanoseconds since the machine started.
    Delay {
        /// The time.
        until: u64,
    },
    /// It is delivered now, and again at this time.
    Duplicate {
        /// The time of the second delivery.
        until: u64,
    },
    /// It is delivered to the next vCPU that is neither a target nor the sender, in the order of
    /// their numbers; if there is none, to the sender.
    Misroute,
    /// It is delivered 2 us behind the next IPI of the same sender, or at this time if that is
    /// sooner.
    Reorder {
        /// The latest time.
        until: u64,
    },
}

/// How far behind the other IPI one that is reordered comes, in nanoseconds. A scheduling point
/// takes 1 us: there is one at which the target can take the other alone.
const GAP: u64 = 2_000;

/// An IPI that is delivered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deferred {
    due: u64,
    /// The sender whose next IPI comes first.
    behind: Option<u8>,
    mode: IpiMode,
    targets: u64,
}

/// The fault that strikes the next IPI, and the IPIs that are delivered later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpiFaults {
    /// The fault, and the targets that it applies to: bit n stands for vCPU n.
    next: Option<(IpiFault, u64)>,
    deferred: Vec<Deferred>,
}

impl IpiFaults {
    /// Sets the fault that strikes the next IPI, for these of its targets.
    pub(crate) fn strike_next(&mut self, fault: IpiFault, targets: u64) {
        self.next = Some((fault, targets));
    }

    /// Removes the fault that is set for the next IPI. Returns whether there was one.
    pub(crate) fn clear_next(&mut self) -> bool {
        self.next.take().is_some()
    }

    /// The targets to which an IPI is delivered now. `vcpus` is the number of vCPUs.
    pub(crate) fn targets(&mut self, ipi: Ipi, targets: u64, vcpus: usize) -> u64 {
        let Some((fault, affected)) = self.next.take() else { return targets };
        let affected = affected & targets;
        let mut later = |due, behind| {
            self.deferred.push(Deferred { due, behind, mode: ipi.mode, targets: affected });
        };
        match fault {
            IpiFault::Drop => targets & !affected,
            IpiFault::Delay { until } => {
                later(until, None);
                targets & !affected
            }
            IpiFault::Duplicate { until } => {
                later(until, None);
                targets
            }
            IpiFault::Reorder { until } => {
                later(until, Some(ipi.source));
                targets & !affected
            }
            IpiFault::Misroute => targets & !affected | elsewhere(ipi.source, targets, vcpus),
        }
    }

    /// Called when this sender has sent an IPI: those that follow it are due soon.
    pub(crate) fn has_sent(&mut self, sender: u8, now: u64) {
        for deferred in &mut self.deferred {
            if deferred.behind == Some(sender) {
                (deferred.due, deferred.behind) = (deferred.due.min(now + GAP), None);
            }
        }
    }

    /// Takes the IPIs that are due.
    pub(crate) fn due(&mut self, now: u64) -> Vec<(IpiMode, u64)> {
        if self.deferred.is_empty() {
            return Vec::new();
        }
        let due = self.deferred.extract_if(.., |deferred| deferred.due <= now);
        due.map(|deferred| (deferred.mode, deferred.targets)).collect()
    }

    /// When the IPIs are due.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = u64> + '_ {
        self.deferred.iter().map(|deferred| deferred.due)
    }
}

/// Where a misrouted IPI goes: bit n stands for vCPU n. Empty if every vCPU is a target.
pub fn elsewhere(source: u8, targets: u64, vcpus: usize) -> u64 {
    let vcpus = vcpus.min(64) as u32;
    let first = if targets == 0 { 0 } else { targets.trailing_zeros() };
    let others = (1..vcpus).map(|step| (first + step) % vcpus);
    let others = others.filter(|vcpu| targets >> vcpu & 1 == 0);
    let (mut third, mut sender) = (None, None);
    for vcpu in others {
        if vcpu == u32::from(source) {
            sender = Some(vcpu);
        } else {
            third = third.or(Some(vcpu));
        }
    }
    third.or(sender).map_or(0, |vcpu| 1 << vcpu)
}

#[cfg(test)]
#[path = "ipi_faults_tests.rs"]
mod tests;
