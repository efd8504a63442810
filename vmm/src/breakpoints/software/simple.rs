//! Instructions that can be single-stepped in place of an INT3 without a trace.
//!
//! A step sets the trap flag, which PUSHF and the frames of exceptions would show to the guest; it
//! ends the interrupt shadow of STI and MOV SS; and after a fault, the handler may go on behind the
//! instruction, so that it can't be told whether the same place is reached again or executed again.
//! So an instruction that may fault, or that has to do with flags of the system, gets another
//! means.

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind};

/// Whether an instruction uses only general registers, the status flags and the stack.
pub(super) fn is_simple(instruction: &Instruction) -> bool {
    use Mnemonic::{
        Adc, Add, And, Bswap, Bt, Call, Cdq, Cdqe, Clc, Cld, Cmc, Cmp, Cqo, Cwde, Dec, Endbr32,
        Endbr64, Imul, Inc, Jmp, Lea, Leave, Mov, Movsx, Movsxd, Movzx, Mul, Neg, Nop, Not, Or,
        Pause, Pop, Push, Ret, Rol, Ror, Sal, Sar, Sbb, Shl, Shr, Stc, Sub, Test, Xchg, Xor,
    };
    let known = matches!(
        instruction.mnemonic(),
        Adc | Add
            | And
            | Bswap
            | Bt
            | Call
            | Cdq
            | Cdqe
            | Clc
            | Cld
            | Cmc
            | Cmp
            | Cqo
            | Cwde
            | Dec
            | Endbr32
            | Endbr64
            | Imul
            | Inc
            | Jmp
            | Lea
            | Leave
            | Mov
            | Movsx
            | Movsxd
            | Movzx
            | Mul
            | Neg
            | Nop
            | Not
            | Or
            | Pause
            | Pop
            | Push
            | Ret
            | Rol
            | Ror
            | Sal
            | Sar
            | Sbb
            | Shl
            | Shr
            | Stc
            | Sub
            | Test
            | Xchg
            | Xor
    );
    // Jcc, SETcc and CMOVcc; the LOOPs have a condition, too, and are harmless.
    let is_conditional = instruction.condition_code() != ConditionCode::None;
    let computes_only = matches!(instruction.mnemonic(), Lea | Nop);
    let operands = (0..instruction.op_count()).all(|operand| match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).is_gpr(),
        OpKind::Memory => computes_only,
        OpKind::FarBranch16 | OpKind::FarBranch32 => false,
        // String instructions.
        kind => !(OpKind::MemorySegSI..=OpKind::MemoryESRDI).contains(&kind),
    });
    (known || is_conditional) && operands && !instruction.is_privileged()
}

#[cfg(test)]
#[path = "simple_tests.rs"]
mod tests;
