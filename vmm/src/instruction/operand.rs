//! The operands of an instruction: which are read and written, their addresses and values.

use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, OpKind, Register, UsedMemory};

use crate::registers::{Registers, SystemRegisters};

/// Whether an access of this kind may be a read.
pub(super) fn is_read(access: OpAccess) -> bool {
    use OpAccess::{CondRead, Read, ReadCondWrite, ReadWrite};
    matches!(access, Read | CondRead | ReadWrite | ReadCondWrite)
}

/// Whether an access of this kind may be a write.
pub(super) fn is_write(access: OpAccess) -> bool {
    use OpAccess::{CondWrite, ReadCondWrite, ReadWrite, Write};
    matches!(access, Write | CondWrite | ReadWrite | ReadCondWrite)
}

/// Whether the access may be a read.
pub(crate) fn reads(used: &UsedMemory) -> bool {
    is_read(used.access())
}

/// Whether the access may be a write.
pub(crate) fn writes(used: &UsedMemory) -> bool {
    is_write(used.access())
}

/// The registers that an instruction may write, each as the largest register that it is a part of.
pub fn written_registers(
    instruction: &Instruction,
    factory: &mut InstructionInfoFactory,
) -> impl Iterator<Item = Register> {
    let used = factory.info(instruction).used_registers();
    used.iter().filter(|used| is_write(used.access())).map(|used| used.register().full_register())
}

/// The linear address of an access, with the registers before the instruction.
pub(crate) fn address(
    used: &UsedMemory,
    registers: &Registers,
    system: &SystemRegisters,
) -> Option<u64> {
    let address = used.virtual_address(0, |register, _, _| value(register, registers, system))?;
    Some(wrapped(address, system))
}

/// The memory operands that an instruction may read, as linear addresses and sizes, with the
/// registers before the instruction. What it reads without an operand, such as the return address
/// of a `ret`, is left out.
pub fn memory_reads(
    instruction: &Instruction,
    registers: &Registers,
    system: &SystemRegisters,
) -> Vec<(u64, usize)> {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    (0..instruction.op_count())
        .filter(|&operand| instruction.op_kind(operand) == OpKind::Memory)
        .filter(|&operand| is_read(info.op_access(operand)))
        .filter_map(|operand| {
            let value = |register, _, _| value(register, registers, system);
            let address = instruction.virtual_address(operand, 0, value)?;
            Some((wrapped(address, system), instruction.memory_size().size()))
        })
        .collect()
}

/// Outside 64-bit code, linear addresses have 32 bits.
fn wrapped(address: u64, system: &SystemRegisters) -> u64 {
    if system.code_bits() == 64 { address } else { address & mask(4) }
}

/// The value of a register; for a segment register, its base.
pub(crate) fn value(
    register: Register,
    registers: &Registers,
    system: &SystemRegisters,
) -> Option<u64> {
    let flat = system.code_bits() == 64;
    let base = |base: u64| Some(if flat { 0 } else { base });
    match register {
        Register::CS => base(system.cs.base),
        Register::DS => base(system.ds.base),
        Register::ES => base(system.es.base),
        Register::SS => base(system.ss.base),
        Register::FS => Some(system.fs.base),
        Register::GS => Some(system.gs.base),
        register => {
            let full = *whole(register, &mut registers.clone())?;
            Some(if register.size() == 8 { full } else { full & mask(register.size()) })
        }
    }
}

/// Sets a general-purpose register of 16, 32 or 64 bits as an instruction does: setting 32 bits
/// clears the upper half.
pub(crate) fn set_value(register: Register, value: u64, registers: &mut Registers) {
    if let Some(whole) = whole(register, registers) {
        *whole = match register.size() {
            8 => value,
            4 => value & mask(4),
            size => *whole & !mask(size) | value & mask(size),
        };
    }
}

fn mask(size: usize) -> u64 {
    (1 << (8 * size)) - 1
}

/// The 64-bit register that a general-purpose register is a part of.
fn whole(register: Register, r: &mut Registers) -> Option<&mut u64> {
    Some(match register.full_register() {
        Register::RAX => &mut r.rax,
        Register::RBX => &mut r.rbx,
        Register::RCX => &mut r.rcx,
        Register::RDX => &mut r.rdx,
        Register::RSI => &mut r.rsi,
        Register::RDI => &mut r.rdi,
        Register::RSP => &mut r.rsp,
        Register::RBP => &mut r.rbp,
        Register::R8 => &mut r.r8,
        Register::R9 => &mut r.r9,
        Register::R10 => &mut r.r10,
        Register::R11 => &mut r.r11,
        Register::R12 => &mut r.r12,
        Register::R13 => &mut r.r13,
        Register::R14 => &mut r.r14,
        Register::R15 => &mut r.r15,
        Register::RIP => &mut r.rip,
        _ => return None,
    })
}
