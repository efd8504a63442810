//! The effects of an instruction on memory, determined from its operands before it executes.

use smallvec::SmallVec;

use super::ControlledMachine;
use super::writers::Store;
use crate::error::Result;
use crate::exit::Bytes;
use crate::instruction::{self, Decoded};
use crate::memory::{Memory, PAGE_SIZE};
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

/// A segment of memory within a page that an instruction is about to access.
#[derive(Debug)]
pub(super) struct Touch {
    /// Guest-physical address.
    pub(super) address: u64,
    /// The contents before the access.
    pub(super) before: Bytes,
    pub(super) writes: bool,
}

/// All memory accesses of an instruction.
#[derive(Debug)]
pub(super) struct Effects {
    touches: SmallVec<[Touch; 2]>,
    /// Whether it changes vCPU state that is not tracked (extended state).
    extended: bool,
    /// Whether it writes, or may write, memory beyond `touches`.
    more: bool,
}

/// The largest operand in bytes that is examined: as large as the largest vector register.
const MAX_OPERAND: usize = 64;

impl Effects {
    /// The memory segments that it accesses, as far as they are known.
    pub(super) fn touches(&self) -> &[Touch] {
        &self.touches
    }

    /// Whether it writes, or may write, memory beyond these segments.
    pub(super) fn reaches_further(&self) -> bool {
        self.more
    }

    /// The effects of the instruction that a vCPU with these registers is about to execute.
    pub(super) fn before(
        decoded: Option<&Decoded>,
        registers: &Registers,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Self {
        let Some(decoded) = decoded else {
            return Self { touches: SmallVec::new(), extended: true, more: true };
        };
        let mut effects =
            Self { touches: SmallVec::new(), extended: decoded.extended, more: false };
        for used in &decoded.accesses {
            let size = used.memory_size().size();
            let writes = instruction::writes(used);
            // A repeated string instruction accesses an unknown number of elements.
            let known = (1..=MAX_OPERAND).contains(&size) && !decoded.repeats;
            let Some(gva) = instruction::address(used, registers, system).filter(|_| known) else {
                effects.more |= writes;
                continue;
            };
            let in_page = ((PAGE_SIZE - gva % PAGE_SIZE) as usize).min(size);
            for (gva, size) in [(gva, in_page), (gva.wrapping_add(in_page as u64), size - in_page)]
            {
                // An unmapped address faults; an address outside RAM belongs to a device.
                let Ok(address) = paging::translate(system, memory, gva) else { continue };
                let mut before = Bytes::from_elem(0, size);
                if size > 0 && memory.read(address, &mut before).is_ok() {
                    effects.touches.push(Touch { address, before, writes });
                }
            }
        }
        effects
    }
}

impl ControlledMachine {
    /// Called after the instruction has been executed: records its stores, and wakes the vCPUs that
    /// wait for a value that it changed.
    pub(super) fn follow(&mut self, vcpu: u32, decoded: &Decoded, effects: &Effects) -> Result<()> {
        if effects.more {
            self.everything_may_have_changed();
        }
        if effects.extended {
            self.vcpus[vcpu as usize].tracker.clear();
        }
        for touch in &effects.touches {
            let mut after = touch.before.clone();
            if touch.writes {
                self.memory.read(touch.address, &mut after)?;
            }
            if after == touch.before {
                self.vcpus[vcpu as usize].tracker.read(touch.address, &after);
                continue;
            }
            let rip = decoded.instruction.next_ip();
            for (part, value) in (touch.address..).step_by(8).zip(after.chunks(8)) {
                let value = Bytes::from_slice(value);
                self.writers.put(Store { address: part, value, vcpu, rip, point: self.points });
            }
            self.changed(vcpu, touch.address, after.len());
        }
        Ok(())
    }

    /// Handles a change of unknown extent: all waiting vCPUs run again.
    pub(super) fn everything_may_have_changed(&mut self) {
        self.progress.note();
        for ctx in &mut self.vcpus {
            ctx.wake();
        }
    }
}
