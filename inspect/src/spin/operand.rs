//! The memory that a loop reads. Addresses are calculated from the vCPU's registers.

use iced_x86::{Instruction, InstructionInfoFactory, Register};
use vmm::instruction::{memory_reads, written_registers};
use vmm::registers::{Registers, SystemRegisters};

/// The memory that a loop reads. If the loop itself computes the address of an operand, the address
/// is known only at RIP, for which the registers are current.
pub(super) fn reads_of_loop(
    instructions: &[Instruction],
    here: &Instruction,
    registers: &Registers,
    system: &SystemRegisters,
) -> Vec<(u64, usize)> {
    let mut factory = InstructionInfoFactory::new();
    let mut written: Vec<Register> = Vec::new();
    for instruction in instructions {
        written.extend(written_registers(instruction, &mut factory));
    }
    let changes = |register: Register| {
        register != Register::None && written.contains(&register.full_register())
    };
    instructions
        .iter()
        .filter(|instruction| {
            instruction.ip() == here.ip()
                || !(changes(instruction.memory_base()) || changes(instruction.memory_index()))
        })
        .flat_map(|instruction| memory_reads(instruction, registers, system))
        .collect()
}
