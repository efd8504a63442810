//! Keeps the trap flag of a single step out of the guest's sight.
//!
//! Processors single-step by RFLAGS.TF, and put RFLAGS on the stack in two ways:
//!
//! * An instruction that faults leads to a handler, whose frame then holds the flag (Intel SDM
//!   vol. 3, 6.12.1). KVM does not see this. IRET would bring the flag back, perhaps when the vCPU
//!   is not single-stepped any more, and the guest would get a debug exception that nothing in it
//!   has caused.
//! * PUSHF stores the flag, and POPF brings it back.
//!
//! So the flag is cleared there after each step that may have been one of these. Frames of 16-bit
//! code are not looked for.

use crate::cpu::Cpu;
use crate::error::Result;
use crate::instruction::{self, MAX_INSTRUCTION};
use crate::memory::Memory;
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

/// The stack pointer for ring 0 in a TSS, and IST 1 in a 64-bit one; the other six entries follow
/// (Intel SDM vol. 3, 8.2.1 and 8.7).
const TSS_STACK: u64 = 4;
const TSS_IST: u64 = 0x24;
const IST_ENTRIES: u64 = 7;

const TF: u64 = Registers::TRAP_FLAG;
/// The processor sets it in the frame of a fault.
const RF: u64 = Registers::RESUME_FLAG;

/// A vCPU before a single step.
pub(crate) struct BeforeStep {
    registers: Registers,
    system: SystemRegisters,
}

impl BeforeStep {
    /// The vCPU as it is now; `None` if the guest itself has set the trap flag.
    pub(crate) fn of(cpu: &mut impl Cpu) -> Result<Option<Self>> {
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        Ok((registers.rflags & TF == 0).then_some(Self { registers, system }))
    }

    /// Called at the next exit: clears the flag in what the instruction has put on the stack.
    pub(crate) fn clear_pushed_flag(&self, cpu: &mut impl Cpu, memory: &Memory) -> Result<()> {
        let (before, after) = (&self.registers, cpu.registers()?);
        let pushed = before.rsp.wrapping_sub(after.rsp);
        let goes_on = after.rip.wrapping_sub(before.rip) <= MAX_INSTRUCTION as u64;
        if goes_on && matches!(pushed, 2 | 4 | 8) && self.is_pushf(memory) {
            let stack = self.stack_base().wrapping_add(after.rsp);
            return clear(&self.system, memory, stack);
        }
        // Every frame is larger than what other instructions push or pop.
        if pushed.wrapping_add(8) <= 16 {
            return Ok(());
        }
        for stack in self.stacks(memory) {
            if let Some(flags) = self.flags_in_frame(stack, memory) {
                clear(&self.system, memory, flags)?;
            }
        }
        Ok(())
    }

    fn is_pushf(&self, memory: &Memory) -> bool {
        const PUSHF: u8 = 0x9c;
        const OPERAND_SIZE: u8 = 0x66;
        let mut code = [0; 2];
        let at = instruction::linear(self.registers.rip, &self.system);
        // An instruction of one byte may be the last on its page.
        if paging::read(&self.system, memory, at, &mut code).is_err() {
            let _ = paging::read(&self.system, memory, at, &mut code[..1]);
        }
        code[0] == PUSHF || code == [OPERAND_SIZE, PUSHF]
    }

    fn is_long(&self) -> bool {
        const LMA: u64 = 1 << 10;
        self.system.efer & LMA != 0
    }

    fn stack_base(&self) -> u64 {
        if self.system.code_bits() == 64 { 0 } else { self.system.ss.base }
    }

    /// The stacks on which a handler's frame may begin.
    fn stacks(&self, memory: &Memory) -> Vec<u64> {
        let tss = |offset, size| {
            let at = self.system.tr.base.wrapping_add(offset);
            paging::read_integer(&self.system, memory, at, size).ok()
        };
        let in_ring_0 = self.system.privilege() == 0;
        let own = self.stack_base().wrapping_add(self.registers.rsp);
        if !self.is_long() {
            return if in_ring_0 { Some(own) } else { tss(TSS_STACK, 4) }.into_iter().collect();
        }
        let first = if in_ring_0 { Some(own) } else { tss(TSS_STACK, 8) };
        let others = (0..IST_ENTRIES).filter_map(|entry| tss(TSS_IST + 8 * entry, 8));
        let all = first.into_iter().chain(others.filter(|stack| *stack != 0));
        all.map(|stack| stack & !0xf).collect()
    }

    /// The linear address of RFLAGS in the frame that begins this stack, if it is that of a handler
    /// that was called from here with the trap flag. RIP is not compared: handlers change it. An
    /// error code comes behind the frame.
    fn flags_in_frame(&self, stack: u64, memory: &Memory) -> Option<u64> {
        let (word, words) = match (self.is_long(), self.system.privilege()) {
            (true, _) => (8, 5),
            (false, 0) => (4, 3),
            (false, _) => (4, 5),
        };
        let at = |number: u64| stack.wrapping_sub(word * (words - number));
        let read =
            |number| paging::read_integer(&self.system, memory, at(number), word as usize).ok();
        let is_selector = |number, selector: u16| {
            read(number).is_some_and(|value| value & 0xffff == u64::from(selector))
        };
        let flags = read(2)?;
        let same_flags = flags & TF != 0 && (flags ^ self.registers.rflags) & !(TF | RF) == 0;
        let same_stack = words < 5
            || read(3) == Some(self.registers.rsp) && is_selector(4, self.system.ss.selector);
        let is_frame = same_flags && same_stack && is_selector(1, self.system.cs.selector);
        is_frame.then(|| at(2))
    }
}

/// Clears the flag in the flags at this linear address.
fn clear(system: &SystemRegisters, memory: &Memory, flags: u64) -> Result<()> {
    const BIT: u8 = (TF >> 8) as u8;
    let Ok(at) = paging::translate(system, memory, flags.wrapping_add(1)) else { return Ok(()) };
    let mut byte = [0];
    memory.read(at, &mut byte)?;
    if byte[0] & BIT != 0 {
        memory.write(at, &[byte[0] & !BIT])?;
    }
    Ok(())
}
