//! Detects what a running guest does that can't be trapped, for either scheduler.

use super::unsuitable::{TableRegisters, explain, misplaced_table, split};
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::instruction::{self, Decoded};
use crate::memory::Memory;
use crate::registers::{Registers, SystemRegisters};
use crate::unsupported::UnsupportedAccess;

/// The error for an unsupported access by the instruction at `rip`.
pub(crate) fn refuse(
    vcpu: u32,
    rip: u64,
    unsupported: UnsupportedAccess,
    memory: &Memory,
) -> Error {
    let by = memory.watcher(unsupported.gpa());
    Error::Trapped { vcpu, rip, unsupported, by }
}

/// The check that none of a vCPU's tables is in a trapped page. The tables are looked at again when
/// the table registers have changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableCheck {
    /// The table registers of the last successful check.
    passed: Option<TableRegisters>,
}

impl TableCheck {
    /// Fails if one of the tables is in a trapped page.
    pub(crate) fn check(
        &mut self,
        vcpu: u32,
        rip: u64,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Result<()> {
        let now = TableRegisters::of(system);
        if self.passed == Some(now) {
            return Ok(());
        }
        if let Some(unsupported) = misplaced_table(system, memory) {
            return Err(refuse(vcpu, rip, unsupported, memory));
        }
        self.passed = Some(now);
        Ok(())
    }
}

/// The reason why a load of `size` bytes can't be performed, if it is only part of what the
/// instruction loads.
pub(crate) fn split_load(
    decoded: &Decoded,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
    gpa: u64,
    size: usize,
) -> Option<UnsupportedAccess> {
    let mut loads = decoded.accesses.iter().filter(|used| instruction::reads(used));
    if loads.any(|used| used.memory_size().size() == size) {
        return None;
    }
    split(decoded, registers, system, memory, gpa, instruction::reads)
}

/// The error behind a failure of the guest, if a trapped page may be its cause: the processor, or
/// KVM, uses the page in another way than by plain loads and stores.
pub(crate) fn behind_a_failure(
    vcpu: u32,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<Error> {
    let decoded = instruction::look(registers.rip, system, memory);
    let found = explain(registers, system, memory, decoded.as_ref(), None);
    found.map(|unsupported| refuse(vcpu, registers.rip, unsupported, memory))
}

/// The error behind an exit that nothing answers, if a trapped page caused it. `exit` is `None` if
/// KVM may be retrying for ever.
pub(crate) fn reason(
    vcpu: u32,
    cpu: &mut dyn Cpu,
    memory: &Memory,
    exit: Option<&Exit>,
) -> Result<Option<Error>> {
    let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
    let decoded = instruction::look(registers.rip, &system, memory);
    let found = explain(&registers, &system, memory, decoded.as_ref(), exit);
    Ok(found.map(|unsupported| refuse(vcpu, registers.rip, unsupported, memory)))
}
