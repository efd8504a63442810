//! Finds the instructions that call a handler by themselves: a step over them is lost there.
//!
//! Where KVM steps by the trap flag, the exception of such an instruction clears the flag, and the
//! step ends only when the handler has returned, if it ever does. Where INT3s are used, a step must
//! not be made at all at an INT3 of the guest's own (`software.rs`).

use iced_x86::{Instruction, Mnemonic};

use super::code::handler;
use super::{Breakpoints, Debuggable, Memory, Result};
use crate::instruction;

/// The vectors of #DB, #BP and #UD (Intel SDM vol. 3, 6.15).
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const INVALID_OPCODE: u8 = 6;

/// A handler that the next instruction calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) vector: u8,
    /// The handler's linear address; `None` if there is none in 64-bit mode.
    pub(crate) handler: Option<u64>,
}

impl Breakpoints {
    /// The handler that the instruction at RIP calls, if a step would not stop there.
    pub(crate) fn raises(
        &self,
        cpu: &mut impl Debuggable,
        memory: &Memory,
    ) -> Result<Option<Raised>> {
        if self.stopping.steps_into_handlers && !self.software.is_used {
            return Ok(None);
        }
        let system = cpu.system_registers()?;
        let decoded = instruction::look(cpu.registers()?.rip, &system, memory);
        let vector = decoded.and_then(|decoded| vector(&decoded.instruction));
        Ok(vector.map(|vector| Raised { vector, handler: handler(vector, &system, memory) }))
    }
}

/// The vector of the exception or interrupt that the instruction raises each time.
fn vector(instruction: &Instruction) -> Option<u8> {
    match instruction.mnemonic() {
        Mnemonic::Int3 => Some(BREAKPOINT),
        Mnemonic::Int1 => Some(DEBUG),
        Mnemonic::Int => Some(instruction.immediate8()),
        Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 => Some(INVALID_OPCODE),
        _ => None,
    }
}

#[cfg(test)]
#[path = "raises_tests.rs"]
mod tests;
