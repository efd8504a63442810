//! Chooses by which means a vCPU is stopped at each address.

use std::sync::Arc;

use super::{Int3s, Place};
use crate::breakpoints::Breakpoints;
use crate::error::Result;
use crate::exit::Exit;
use crate::memory::Memory;
use crate::paging;
use crate::registers::SystemRegisters;

impl Breakpoints {
    /// Lets this vCPU use the machine's INT3s. The pages of the code have to be read-only.
    pub(crate) fn use_int3s(&mut self, vcpu: u32, int3s: Arc<Int3s>) {
        (self.software.vcpu, self.software.int3s) = (vcpu, Some(int3s));
        self.software.is_stale = true;
    }

    /// Takes the machine's INT3s out of memory, before a vCPU enters the guest without
    /// [`run`](Self::run).
    pub(crate) fn clear_int3s(&self, memory: &Memory) -> Result<()> {
        self.software.int3s.as_ref().map_or(Ok(()), |int3s| int3s.gate.clear(memory))
    }

    /// Whether INT3s would be used if the machine had them.
    pub(crate) fn lacks_int3s(&self) -> bool {
        let many = self.wanted.len() > self.stopping.breakpoint_slots();
        self.stopping.int3 && many && self.software.int3s.is_none()
    }

    /// Chooses the means for the addresses that are wanted now.
    pub(in crate::breakpoints) fn prepare(&mut self, memory: &Memory) -> Result<()> {
        let Some(int3s) = self.software.int3s.clone() else { return Ok(()) };
        let stores = int3s.code.stores();
        let given_up = int3s.gate.is_shared() && int3s.gate.is_given_up();
        let free = self.free_slots();
        let software = &mut self.software;
        if !software.is_stale && software.stores == stores && !(given_up && software.is_used) {
            return Ok(());
        }
        (software.is_stale, software.stores) = (false, stores);
        let before = std::mem::take(&mut software.places);
        software.others.clear();
        // Among several threads, all use them or none.
        let useful = int3s.gate.is_shared() || self.wanted.len() > free;
        software.is_used = self.stopping.int3 && useful && !given_up;
        if software.is_used {
            for linear in &self.wanted {
                let at = int3s.code.instruction(*linear, memory);
                match at.filter(|_| !software.moved.contains(linear)) {
                    Some(at) => {
                        let mut opcode = [0];
                        memory.as_loaded().read(at, &mut opcode)?;
                        let place = Place { linear: *linear, at, opcode: opcode[0] };
                        software.places.push(place);
                    }
                    None => software.others.push(*linear),
                }
            }
            if software.others.len() > free {
                if !std::mem::replace(&mut software.is_stepping_told, true) {
                    tracing::warn!(
                        "vCPU {} goes in single steps, which is slow: int3 can't stop it at {:#x}, \
                         which may fault or is not known to be an instruction of the image",
                        software.vcpu,
                        software.others[free],
                    );
                }
                software.is_used = false;
                software.places.clear();
                if int3s.gate.is_shared() {
                    int3s.gate.give_up(software.vcpu, memory)?;
                }
            } else if !std::mem::replace(&mut software.is_use_told, true) {
                let (vcpu, addresses) = (software.vcpu, software.places.len());
                tracing::info!(vcpu, addresses, "stopping at instructions by int3");
            }
        }
        software.tables = None;
        if !software.is_used && !int3s.gate.is_shared() {
            int3s.gate.clear(memory)?;
        }
        int3s.gate.want(&before, &software.places, memory)
    }

    /// Performs a store of the guest to its code; returns whether the exit is one.
    pub(in crate::breakpoints) fn store_to_code(
        &self,
        memory: &Memory,
        exit: &Exit,
    ) -> Result<bool> {
        let Some(int3s) = &self.software.int3s else { return Ok(false) };
        let Some(store) = int3s.code.store_of(exit) else { return Ok(false) };
        int3s.gate.store(self.software.vcpu, memory, store, &int3s.code)?;
        Ok(true)
    }

    /// Checks, when the page tables have changed, whether the addresses are mapped to the
    /// instructions that were replaced. Returns whether one is not.
    pub(super) fn find_moved(&mut self, system: &SystemRegisters, memory: &Memory) -> bool {
        let tables = (system.cr0, system.cr3, system.cr4, system.efer);
        if self.software.tables == Some(tables) {
            return false;
        }
        self.software.tables = Some(tables);
        let pages = system.cr0 & SystemRegisters::CR0_PG != 0;
        for Place { linear, at, .. } in self.software.places.iter().filter(|_| pages) {
            if paging::translate(system, memory, *linear).is_ok_and(|now| now != *at) {
                self.software.moved.insert(*linear);
                self.software.is_stale = true;
                let (vcpu, address) = (self.software.vcpu, format!("{linear:#x}"));
                tracing::warn!(
                    vcpu,
                    address,
                    "the guest maps this address elsewhere than its image says: no int3 there"
                );
            }
        }
        self.software.is_stale
    }
}
