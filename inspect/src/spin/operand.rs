//! The memory that instructions read. Addresses are calculated from the vCPU's registers.

use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};
use vmm::registers::{Registers, SystemRegisters};

/// The memory that an instruction reads, as addresses and sizes.
pub(super) fn reads_of(
    instruction: &Instruction,
    registers: &Registers,
    system: &SystemRegisters,
) -> Vec<(u64, usize)> {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    (0..instruction.op_count())
        .filter(|&operand| instruction.op_kind(operand) == OpKind::Memory)
        .filter(|&operand| {
            matches!(
                info.op_access(operand),
                OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            )
        })
        .filter_map(|operand| {
            let address = instruction
                .virtual_address(operand, 0, |register, _, _| value(register, registers, system))?;
            let bits = system.code_bits();
            let address = if bits == 64 { address } else { address & 0xffff_ffff };
            Some((address, instruction.memory_size().size()))
        })
        .collect()
}

/// The memory that a loop reads. If the loop itself computes the address of an operand, the address
/// is known only at RIP, for which the registers are current.
pub(super) fn reads_of_loop(
    instructions: &[Instruction],
    here: &Instruction,
    registers: &Registers,
    system: &SystemRegisters,
) -> Vec<(u64, usize)> {
    let mut factory = InstructionInfoFactory::new();
    let written: Vec<Register> = instructions
        .iter()
        .flat_map(|instruction| factory.info(instruction).used_registers().to_vec())
        .filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead))
        .map(|used| used.register().full_register())
        .collect();
    let changes = |register: Register| {
        register != Register::None && written.contains(&register.full_register())
    };
    instructions
        .iter()
        .filter(|instruction| {
            instruction.ip() == here.ip()
                || !(changes(instruction.memory_base()) || changes(instruction.memory_index()))
        })
        .flat_map(|instruction| reads_of(instruction, registers, system))
        .collect()
}

/// The value of a register; for a segment register, its base.
fn value(register: Register, r: &Registers, system: &SystemRegisters) -> Option<u64> {
    let flat = system.code_bits() == 64;
    let base = |base: u64| Some(if flat { 0 } else { base });
    let full = match register.full_register() {
        Register::RAX => r.rax,
        Register::RBX => r.rbx,
        Register::RCX => r.rcx,
        Register::RDX => r.rdx,
        Register::RSI => r.rsi,
        Register::RDI => r.rdi,
        Register::RSP => r.rsp,
        Register::RBP => r.rbp,
        Register::R8 => r.r8,
        Register::R9 => r.r9,
        Register::R10 => r.r10,
        Register::R11 => r.r11,
        Register::R12 => r.r12,
        Register::R13 => r.r13,
        Register::R14 => r.r14,
        Register::R15 => r.r15,
        // In 64-bit code these four segments have no base.
        Register::CS => return base(system.cs.base),
        Register::DS => return base(system.ds.base),
        Register::ES => return base(system.es.base),
        Register::SS => return base(system.ss.base),
        Register::FS => return Some(system.fs.base),
        Register::GS => return Some(system.gs.base),
        _ => return None,
    };
    Some(match register.size() {
        2 => full & 0xffff,
        4 => full & 0xffff_ffff,
        _ => full,
    })
}
