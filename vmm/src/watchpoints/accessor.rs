//! Finds the instruction that made an access, after the access.
//!
//! A watchpoint stops the vCPU behind the instruction, or, if a repeated string instruction has
//! more to do, at the instruction. The instruction before RIP is decoded, and believed only if the
//! addresses that it accesses explain exactly the watchpoints that were hit. These are computed
//! with the registers after the instruction, so an operand whose address depends on a register that
//! the instruction has overwritten can't be told, except where the change is known (stacks,
//! strings). Nor can the instruction be told after a jump, a call or a return through memory, or
//! when an exception has been delivered to a watched stack.

use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
    UsedMemory,
};
use smallvec::SmallVec;

use super::Watchpoint;
use crate::instruction::{self, Decoded, Instructions};
use crate::memory::Memory;
use crate::registers::{Registers, SystemRegisters};

const DIRECTION_FLAG: u64 = 1 << 10;

/// A memory operand of the instruction that made an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// Its linear address.
    pub(super) linear: u64,
    pub(super) size: u64,
    pub(super) loads: bool,
    pub(super) stores: bool,
}

/// The instruction that made an access.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accessor {
    /// Its address.
    pub(super) rip: u64,
    pub(super) locked: bool,
    /// Whether it is a repeated string instruction; the operands are those of its latest iteration.
    pub(super) repeats: bool,
    pub(super) operands: SmallVec<[Operand; 2]>,
}

/// The watchpoints in the debug registers, and which of them were hit.
#[derive(Clone, Copy)]
pub(super) struct Touched<'a> {
    pub(super) hit: &'a [Watchpoint],
    pub(super) missed: &'a [Watchpoint],
}

/// The instruction that made the access after which the vCPU has these registers; `None` if it
/// can't be told.
pub(super) fn find(
    touched: Touched,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
    instructions: &mut Instructions,
) -> Option<Accessor> {
    let explains = |decoded: &Decoded| {
        let found = accessor(decoded, registers, system)?;
        found.explains(touched).then_some(found)
    };
    let at = instructions.at(registers.rip, system, memory);
    let unfinished = at.filter(|at| at.repeats).and_then(|at| explains(&at));
    let before = instructions.before(registers.rip, system, memory);
    let before = before
        .filter(|(decoded, sure)| *sure && decoded.instruction.flow_control() == FlowControl::Next);
    let finished = before.and_then(|(before, _)| explains(&before));
    match (unfinished, finished) {
        (Some(_), Some(_)) => None,
        (unfinished, finished) => unfinished.or(finished),
    }
}

impl Accessor {
    /// Whether its operands are the reason why exactly these watchpoints were hit.
    fn explains(&self, touched: Touched) -> bool {
        let touches = |watchpoint: &Watchpoint| {
            self.operands.iter().any(|operand| {
                let kind = operand.stores || operand.loads && !watchpoint.stores_only;
                kind && watchpoint.is_touched_by(operand.linear, operand.size)
            })
        };
        touched.hit.iter().all(touches) && !touched.missed.iter().any(touches)
    }
}

fn accessor(decoded: &Decoded, after: &Registers, system: &SystemRegisters) -> Option<Accessor> {
    let mut instruction = decoded.instruction;
    // The address of a bit may be far from that of its operand.
    let bits = matches!(
        instruction.mnemonic(),
        Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc
    );
    if bits && instruction.op1_kind() == OpKind::Register {
        return None;
    }
    // The operands of one iteration.
    instruction.set_has_rep_prefix(false);
    instruction.set_has_repne_prefix(false);
    let mut factory = InstructionInfoFactory::new();
    let written: SmallVec<[Register; 4]> =
        instruction::written_registers(&instruction, &mut factory).collect();
    let mut operands = SmallVec::new();
    for used in factory.info(&instruction).used_memory() {
        let (loads, stores) = (instruction::reads(used), instruction::writes(used));
        if !loads && !stores || used.access() == OpAccess::NoMemAccess {
            continue;
        }
        let before = before(&instruction, used, &written, after)?;
        let linear = instruction::address(used, &before, system)?;
        let size = used.memory_size().size() as u64;
        if size == 0 {
            return None;
        }
        operands.push(Operand { linear, size, loads, stores });
    }
    let (rip, locked, repeats) = (instruction.ip(), decoded.locked, decoded.repeats);
    Some(Accessor { rip, locked, repeats, operands })
}

/// The registers before the instruction, as far as the address of this operand depends on them.
/// `None` if they aren't known.
fn before(
    instruction: &Instruction,
    used: &UsedMemory,
    written: &[Register],
    after: &Registers,
) -> Option<Registers> {
    let mut before = *after;
    let string = instruction.is_string_instruction();
    for register in [used.base(), used.index()] {
        let full = register.full_register();
        if register == Register::None || !written.contains(&full) {
            continue;
        }
        let size = used.memory_size().size() as u64;
        let moved = if after.rflags & DIRECTION_FLAG == 0 { size } else { size.wrapping_neg() };
        match full {
            Register::RSP if moves_the_stack(instruction) => {
                let change = i64::from(instruction.stack_pointer_increment());
                before.rsp = after.rsp.wrapping_sub(change.cast_unsigned());
            }
            Register::RSI if string => before.rsi = after.rsi.wrapping_sub(moved),
            Register::RDI if string => before.rdi = after.rdi.wrapping_sub(moved),
            _ => return None,
        }
    }
    Some(before)
}

/// Whether the instruction changes RSP by a constant only, and accesses no operand through it.
fn moves_the_stack(instruction: &Instruction) -> bool {
    let plain = matches!(
        instruction.mnemonic(),
        Mnemonic::Push | Mnemonic::Pop | Mnemonic::Pushfq | Mnemonic::Popfq
    );
    let is_stack = |register: Register| register.full_register() == Register::RSP;
    let into_it =
        instruction.op0_kind() == OpKind::Register && is_stack(instruction.op0_register());
    let through_it = instruction.op0_kind() == OpKind::Memory
        && (is_stack(instruction.memory_base()) || is_stack(instruction.memory_index()));
    plain && !into_it && !through_it
}
