//! Which interrupt is next (SDM vol. 3, 11.8): IRR, ISR and the priorities.
//!
//! A vector's upper four bits are its class. An interrupt reaches the processor when its class is
//! above the processor priority's, which is the higher of what the guest asks for (TPR) and what it
//! is serving (the highest vector of ISR).

use super::registers::{FIRST_LEGAL_VECTOR, RECEIVE_ILLEGAL_VECTOR};
use super::{Effect, Lapic};

/// What became of a vector that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acceptance {
    /// It waits in IRR.
    Taken,
    /// It was waiting there already: the two are one.
    Merged,
    /// The LAPIC is disabled by software, or the vector is below 16 (which is noted in ESR).
    Refused,
}

impl Lapic {
    /// Offers an interrupt. `level` is its trigger mode; the end of a level-triggered one is told
    /// by [`Effect::EndOfInterrupt`].
    pub fn accept(&mut self, vector: u8, level: bool) -> Acceptance {
        if !self.enabled() {
            return Acceptance::Refused;
        }
        if vector < FIRST_LEGAL_VECTOR {
            self.record(RECEIVE_ILLEGAL_VECTOR);
            return Acceptance::Refused;
        }
        if level {
            self.trigger.insert(vector);
        } else {
            self.trigger.remove(vector);
        }
        if self.requested.insert(vector) { Acceptance::Taken } else { Acceptance::Merged }
    }

    /// The interrupt that the processor would get if it took one now.
    ///
    /// None while the LAPIC is disabled by software: what waits in IRR is held (11.4.7.2).
    pub fn pending(&self) -> Option<u8> {
        if !self.enabled() {
            return None;
        }
        self.requested.highest().filter(|vector| class(*vector) > class(self.processor_priority()))
    }

    /// The processor takes the pending interrupt: it goes from IRR to ISR.
    ///
    /// `None` when there is none; real hardware, already committed, would answer with the spurious
    /// vector. A scheduler asks [`Lapic::pending`] first and is never in that place.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.pending()?;
        self.requested.remove(vector);
        self.in_service.insert(vector);
        Some(vector)
    }

    /// A write to EOI ends the highest interrupt in service. (11.8.5)
    pub(super) fn end_of_interrupt(&mut self) -> Effect {
        let Some(vector) = self.in_service.highest() else { return Effect::None };
        self.in_service.remove(vector);
        if !self.trigger.contains(vector) {
            return Effect::None;
        }
        self.end_local_level(vector);
        Effect::EndOfInterrupt { vector }
    }

    /// PPR: TPR, unless a higher class is in service; then that class. (11.8.3.1; of TPR's lower
    /// half at equal classes the manual lets the model choose.)
    pub fn processor_priority(&self) -> u8 {
        let serving = self.in_service.highest().unwrap_or(0);
        if class(self.task_priority) >= class(serving) {
            self.task_priority
        } else {
            serving & 0xf0
        }
    }

    /// APR: by which lowest-priority messages choose. (11.6.2.4: TPR, unless a class at least as
    /// high is in service or a higher one is requested; then the highest class of the three.)
    pub fn arbitration_priority(&self) -> u8 {
        let serving = class(self.in_service.highest().unwrap_or(0));
        let requested = class(self.requested.highest().unwrap_or(0));
        let task = class(self.task_priority);
        if task >= requested && task > serving {
            self.task_priority
        } else {
            task.max(serving).max(requested) << 4
        }
    }

    /// CR8, the upper half of TPR under another name. (11.8.6)
    pub fn cr8(&self) -> u8 {
        class(self.task_priority)
    }

    /// A write to CR8 by the guest; 4 bits count.
    pub fn set_cr8(&mut self, value: u8) {
        self.task_priority = value << 4;
    }

    /// CR8 is that now: if it has changed, the guest has written it. TPR's lower half stays otherwise.
    pub fn follow_cr8(&mut self, value: u8) {
        if value & 0xf != self.cr8() {
            self.set_cr8(value);
        }
    }
}

fn class(vector: u8) -> u8 {
    vector >> 4
}

#[cfg(test)]
#[path = "priority_tests.rs"]
mod tests;
