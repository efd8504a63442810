//! Examines the code before a vCPU, and its debug state, for breakpoints.

use crate::cpu::Debuggable;
use crate::error::Result;
use crate::guest_debug::{Breakpoint, Trigger};
use crate::instruction;
use crate::memory::Memory;
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

pub(super) const HLT: u8 = 0xf4;
pub(super) const STI: u8 = 0xfb;
/// The prefix of IRETQ.
pub(super) const REX_W: u8 = 0x48;

pub(super) use crate::guest_debug::SLOTS;

/// The linear address of the next instruction.
pub(super) fn here(cpu: &mut impl Debuggable) -> Result<u64> {
    let system = cpu.system_registers()?;
    Ok(instruction::linear(cpu.registers()?.rip, &system))
}

/// Clears the trap flag, which an exception has preserved from an earlier step.
pub(super) fn forget_step(cpu: &mut impl Debuggable) -> Result<()> {
    let mut registers = cpu.registers()?;
    registers.rflags &= !Registers::TRAP_FLAG;
    cpu.set_registers(&registers)
}

/// Whether the vCPU is in a ring other than 0.
pub(super) fn in_user(system: &SystemRegisters) -> bool {
    const RPL: u16 = 3;
    system.cs.selector & RPL != 0
}

/// The first byte of an instruction; NOP's if the byte can't be read.
pub(super) fn opcode(at: u64, system: &SystemRegisters, memory: &Memory) -> u8 {
    let mut byte = [0x90];
    let _ = paging::read(system, memory, at, &mut byte);
    byte[0]
}

/// The return address of the IRETQ at `at`; `None` if it is another instruction. On some hosts a
/// step ends not with IRETQ but with the instruction that it returns to.
pub(super) fn returns_to(
    at: u64,
    cpu: &mut impl Debuggable,
    system: &SystemRegisters,
    memory: &Memory,
) -> Result<Option<u64>> {
    const IRETQ: [u8; 2] = [REX_W, 0xcf];
    let mut code = [0; IRETQ.len()];
    if paging::read(system, memory, at, &mut code).is_err() || code != IRETQ {
        return Ok(None);
    }
    let stack = cpu.registers()?.rsp;
    Ok(paging::read_integer(system, memory, stack, size_of::<u64>()).ok())
}

/// Whether a single step that ended at `rip`, where it began, has left the instruction there
/// unfinished: a string instruction has more to do, or KVM starts the instruction again.
pub(super) fn is_unfinished(rip: u64, system: &SystemRegisters, memory: &Memory) -> bool {
    instruction::look(rip, system, memory)
        .is_some_and(|decoded| decoded.repeats || !decoded.was_executed(rip))
}

/// The handler's address in a vector's IDT entry in 64-bit mode; `None` if there is no such entry
/// (Intel SDM vol. 3, 6.14.1).
pub(super) fn handler(vector: u8, system: &SystemRegisters, memory: &Memory) -> Option<u64> {
    const SIZE: u64 = 16;
    const PRESENT: u8 = 0x80;
    let offset = SIZE * u64::from(vector);
    let in_table = offset + SIZE - 1 <= u64::from(system.idt.limit);
    if system.code_bits() != 64 || !in_table {
        return None;
    }
    let mut gate = [0; SIZE as usize];
    paging::read(system, memory, system.idt.base.wrapping_add(offset), &mut gate).ok()?;
    let part = |at: usize, bytes: usize| {
        gate[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    (gate[5] & PRESENT != 0).then(|| part(0, 2) | part(6, 2) << 16 | part(8, 4) << 32)
}

/// The watchpoints, each in the slot of its number, which DR6 names, also where two are the same;
/// then the first addresses for which there is room, without duplicates.
pub(super) fn slots(
    watchpoints: &[Breakpoint],
    addresses: impl Iterator<Item = u64>,
) -> [Option<Breakpoint>; SLOTS] {
    let mut slots = [None; SLOTS];
    for (slot, watchpoint) in slots.iter_mut().zip(watchpoints) {
        *slot = Some(*watchpoint);
    }
    let mut used = watchpoints.len();
    for breakpoint in addresses.map(|address| Breakpoint { address, trigger: Trigger::Execute }) {
        if used >= SLOTS {
            break;
        }
        if !slots.contains(&Some(breakpoint)) {
            slots[used] = Some(breakpoint);
            used += 1;
        }
    }
    slots
}
