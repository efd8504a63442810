//! Determines which interrupt is next (SDM vol. 3, 11.8): IRR, ISR and the priorities.
//!
//! The upper four bits of a vector are its class. An interrupt reaches the processor when its class
//! is higher than the class of the processor priority. This priority is the higher of the guest's
//! setting (TPR) and of the interrupt in service (the highest vector of ISR).

use super::registers::{FIRST_LEGAL_VECTOR, RECEIVE_ILLEGAL_VECTOR};
use super::{Effect, Lapic};

/// The result of offering a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acceptance {
    /// It waits in IRR.
    Taken,
    /// It was already waiting there: the two are merged.
    Merged,
    /// The LAPIC is disabled by software, or the vector is below 16 (which is recorded in ESR).
    Refused,
}

impl Lapic {
    /// Offers an interrupt. `level` is its trigger mode; the end of a level-triggered interrupt is
    /// reported by [`Effect::EndOfInterrupt`].
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

    /// The interrupt that the processor would take now.
    ///
    /// `None` while the LAPIC is disabled by software: vectors in IRR are held (11.4.7.2).
    pub fn pending(&self) -> Option<u8> {
        if !self.enabled() {
            return None;
        }
        self.requested.highest().filter(|vector| class(*vector) > class(self.processor_priority()))
    }

    /// The processor takes the pending interrupt, which moves from IRR to ISR.
    ///
    /// `None` if no interrupt is pending; real hardware would already be committed and return the
    /// spurious vector. A scheduler calls [`Lapic::pending`] first, so this doesn't occur.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.pending()?;
        self.requested.remove(vector);
        self.in_service.insert(vector);
        Some(vector)
    }

    /// The processor could not take the interrupt that it has acknowledged last: it waits again.
    pub fn take_back(&mut self, vector: u8) {
        if self.in_service.contains(vector) {
            self.in_service.remove(vector);
            self.requested.insert(vector);
        }
    }

    /// Whether this vector waits in IRR.
    pub fn requests(&self, vector: u8) -> bool {
        self.requested.contains(vector)
    }

    /// Whether the interrupt that waits under this vector is level-triggered.
    pub fn is_level_triggered(&self, vector: u8) -> bool {
        self.trigger.contains(vector)
    }

    /// Removes a vector from IRR: the interrupt is lost.
    pub fn lose(&mut self, vector: u8) {
        self.requested.remove(vector);
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

    /// PPR: TPR, or if a higher class is in service, that class. (11.8.3.1; at equal classes, the
    /// manual leaves the lower half of TPR to the model.)
    pub fn processor_priority(&self) -> u8 {
        let serving = self.in_service.highest().unwrap_or(0);
        if class(self.task_priority) >= class(serving) {
            self.task_priority
        } else {
            serving & 0xf0
        }
    }

    /// APR: the priority by which lowest-priority messages choose. (11.6.2.4: TPR, unless a class
    /// at least as high is in service or a higher one is requested; then the highest class of the
    /// three.)
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

    /// CR8, which is the upper half of TPR. (11.8.6)
    pub fn cr8(&self) -> u8 {
        class(self.task_priority)
    }

    /// Handles a write to CR8 by the guest; 4 bits are used.
    pub fn set_cr8(&mut self, value: u8) {
        self.task_priority = value << 4;
    }

    /// Takes over the current CR8: if it has changed, the guest has written it. Otherwise the lower
    /// half of TPR is preserved.
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
