//! Instructions that can be single-stepped in place of an INT3 without a trace.
//!
//! A step sets the trap flag, which PUSHF and the frames of exceptions would show to the guest; it
//! ends the interrupt shadow of STI and MOV SS; and after a fault, the handler may go on behind the
//! instruction, so that it can't be told whether the same place is reached again or executed again.
//! So an instruction that may fault, or that has to do with flags of the system, gets another
//! means.

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind};

/// Instructions that read and write their operands and the status flags only, or the stack.
const SIMPLE: [Mnemonic; 47] = [
    Mnemonic::Adc,
    Mnemonic::Add,
    Mnemonic::And,
    Mnemonic::Bswap,
    Mnemonic::Bt,
    Mnemonic::Call,
    Mnemonic::Cdq,
    Mnemonic::Cdqe,
    Mnemonic::Clc,
    Mnemonic::Cld,
    Mnemonic::Cmc,
    Mnemonic::Cmp,
    Mnemonic::Cqo,
    Mnemonic::Cwde,
    Mnemonic::Dec,
    Mnemonic::Endbr32,
    Mnemonic::Endbr64,
    Mnemonic::Imul,
    Mnemonic::Inc,
    Mnemonic::Jmp,
    Mnemonic::Lea,
    Mnemonic::Leave,
    Mnemonic::Mov,
    Mnemonic::Movsx,
    Mnemonic::Movsxd,
    Mnemonic::Movzx,
    Mnemonic::Mul,
    Mnemonic::Neg,
    Mnemonic::Nop,
    Mnemonic::Not,
    Mnemonic::Or,
    Mnemonic::Pause,
    Mnemonic::Pop,
    Mnemonic::Push,
    Mnemonic::Ret,
    Mnemonic::Rol,
    Mnemonic::Ror,
    Mnemonic::Sal,
    Mnemonic::Sar,
    Mnemonic::Sbb,
    Mnemonic::Shl,
    Mnemonic::Shr,
    Mnemonic::Stc,
    Mnemonic::Sub,
    Mnemonic::Test,
    Mnemonic::Xchg,
    Mnemonic::Xor,
];

/// Whether an instruction uses only general registers, the status flags and the stack.
pub(super) fn is_simple(instruction: &Instruction) -> bool {
    // Jcc, SETcc and CMOVcc; the LOOPs have a condition, too, and are harmless.
    let is_conditional = instruction.condition_code() != ConditionCode::None;
    let computes_only = matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop);
    let operands = (0..instruction.op_count()).all(|operand| match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).is_gpr(),
        OpKind::Memory => computes_only,
        OpKind::FarBranch16 | OpKind::FarBranch32 => false,
        // String instructions.
        kind => !(OpKind::MemorySegSI..=OpKind::MemoryESRDI).contains(&kind),
    });
    (SIMPLE.contains(&instruction.mnemonic()) || is_conditional)
        && operands
        && !instruction.is_privileged()
}

#[cfg(test)]
#[path = "simple_tests.rs"]
mod tests;
