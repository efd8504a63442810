//! Detects accesses to trapped pages that can't be trapped.
//!
//! A trapped page has no memory slot, so KVM's emulator performs each access to it. The emulator
//! splits an access that crosses a page or is longer than 8 bytes, and it can't fetch code or read
//! page tables or descriptors from a trapped page. No such access may be treated as an ordinary
//! one: it ends the run with an error that names the place. KVM itself only reports a failure (an
//! internal error), shuts the guest down, or retries for ever.

use super::ControlledMachine;
use super::hash::of_registers;
use crate::cpu::Cpu;
use crate::disassemble;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::instruction::{self, Decoded};
use crate::memory::PAGE_SIZE;
use crate::registers::{Registers, SystemRegisters};
use crate::trapped::{self, UnsupportedAccess};

/// The last store of a vCPU: a hash of the registers after it, and its guest-physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) registers: u64,
    pub(super) address: u64,
}

impl ControlledMachine {
    /// Checks a load of `size` bytes from a trapped page that a vCPU is stopped before: fails if it
    /// is only part of what the instruction loads.
    pub(super) fn check_load(&mut self, vcpu: u32, gpa: u64, size: usize) -> Result<()> {
        let (registers, system) = self.look(vcpu)?;
        let found = self.instructions.at(registers.rip, &system, &self.memory);
        let Some(decoded) = found else { return Ok(()) };
        let memory = &self.memory;
        match trapped::split_load(&decoded, &registers, &system, memory, gpa, size) {
            Some(unsupported) => Err(trapped::refuse(vcpu, registers.rip, unsupported, memory)),
            None => Ok(()),
        }
    }

    /// Checks a store of `size` bytes to a trapped page that a vCPU is stopped before; RIP is
    /// behind the instruction.
    ///
    /// `last` is the vCPU's previous store, if the vCPU has done nothing since. The registers
    /// determine the address of a store, so a store with the same registers and another address is
    /// the second part of the same store.
    pub(super) fn check_store(
        &mut self,
        vcpu: u32,
        gpa: u64,
        size: usize,
        last: Option<Stored>,
    ) -> Result<()> {
        let (registers, system) = self.look(vcpu)?;
        let second = last
            .is_some_and(|last| last.address != gpa && last.registers == of_registers(&registers));
        let odd = !size.is_power_of_two();
        if !second && !odd && !self.touches_an_edge(gpa, size) {
            return Ok(());
        }
        // RIP is at a string instruction in the middle of its repetitions.
        let here = self.instructions.at(registers.rip, &system, &self.memory);
        let here = here.filter(|decoded| decoded.instruction.is_string_instruction());
        let candidate = match here {
            Some(decoded) => Some((decoded, true)),
            None => self.instructions.before(registers.rip, &system, &self.memory),
        };
        let certain = second || odd;
        // A candidate that may not be the storing instruction is used only if the store is
        // certainly split.
        let candidate = candidate.filter(|(_, sure)| certain || *sure);
        if let Some((decoded, _)) = &candidate {
            let mut stores = decoded.accesses.iter().filter(|used| instruction::writes(used));
            if certain || !stores.any(|used| used.memory_size().size() == size) {
                self.refuse_split(vcpu, decoded, &registers, &system, gpa, instruction::writes)?;
            }
        }
        if !certain {
            return Ok(());
        }
        // The check above missed it: the instruction has changed the registers that form its
        // address.
        let instruction = candidate.filter(|(_, sure)| *sure).map_or_else(
            || "the instruction before".into(),
            |(decoded, _)| disassemble::instruction(&decoded.instruction),
        );
        let unsupported = UnsupportedAccess::Part { instruction, gpa };
        Err(trapped::refuse(vcpu, registers.rip, unsupported, &self.memory))
    }

    /// Fails if one of the instruction's accesses of this kind is split into parts and touches
    /// `gpa`.
    fn refuse_split(
        &mut self,
        vcpu: u32,
        decoded: &Decoded,
        registers: &Registers,
        system: &SystemRegisters,
        gpa: u64,
        of_kind: fn(&iced_x86::UsedMemory) -> bool,
    ) -> Result<()> {
        match trapped::split(decoded, registers, system, &self.memory, gpa, of_kind) {
            Some(unsupported) => {
                Err(trapped::refuse(vcpu, decoded.instruction.ip(), unsupported, &self.memory))
            }
            None => Ok(()),
        }
    }

    /// Whether a store reaches the edge of the trapped memory: the rest of it may be in plain
    /// memory.
    fn touches_an_edge(&self, gpa: u64, size: usize) -> bool {
        let end = gpa + size as u64;
        gpa.is_multiple_of(PAGE_SIZE) && !self.memory.is_trapped(gpa.wrapping_sub(1))
            || end.is_multiple_of(PAGE_SIZE) && !self.memory.is_trapped(end)
    }

    /// Fails if one of the vCPU's tables is in a trapped page.
    pub(super) fn check_tables(&mut self, vcpu: u32) -> Result<()> {
        let system = self.vcpus[vcpu as usize].cpu.system_registers()?;
        if system.privilege() == 3 {
            self.leave_clock_to_host()?;
        }
        let ctx = &mut self.vcpus[vcpu as usize];
        ctx.tables.check(vcpu, ctx.cpu.registers()?.rip, &system, &self.memory)
    }

    /// The error behind an unexpected exit, if a trapped page caused it. `exit` is `None` if KVM
    /// retries for ever.
    pub(super) fn explain(&mut self, vcpu: u32, exit: Option<&Exit>) -> Result<Option<Error>> {
        trapped::reason(vcpu, &mut self.vcpus[vcpu as usize].cpu, &self.memory, exit)
    }

    fn look(&mut self, vcpu: u32) -> Result<(Registers, SystemRegisters)> {
        let cpu = &mut self.vcpus[vcpu as usize].cpu;
        Ok((cpu.registers()?, cpu.system_registers()?))
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
