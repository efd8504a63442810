//! `offatret`, `offatseg`, `offatstrcpy`: what a guest's function says about the layout of its
//! data, read from its instructions without running them.
//!
//! They were made for accessors such as `mov %gs:0x188,%rax; mov 0x2e8(%rax),%rax; ret`, whose
//! displacements are offsets of fields. Branches are not followed.

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};
use vmm::instruction::{decode_all, written_registers};

use crate::ir::Scan;

/// How many bytes of code a scan reads at most.
pub(super) const REACH: usize = 512;

/// Scans `code`, which is at `address`.
pub(super) fn run(
    scan: Scan,
    bits: u32,
    address: u64,
    code: &[u8],
    callee: u64,
) -> Result<u64, &'static str> {
    let mut writes = InstructionInfoFactory::new();
    let mut last: Option<Instruction> = None;
    for instruction in decode_all(code, address, bits) {
        match scan {
            Scan::Segment => {
                if matches!(instruction.segment_prefix(), Register::FS | Register::GS)
                    && instruction.op_kinds().any(|kind| kind == OpKind::Memory)
                {
                    return Ok(instruction.memory_displacement64());
                }
            }
            Scan::Return => {
                if instruction.flow_control() == FlowControl::Return {
                    return last.map_or(Err("nothing is put into RAX before the ret"), written);
                }
                remember(&mut last, &mut writes, &instruction, Register::RAX);
            }
            Scan::Source => {
                if instruction.flow_control() == FlowControl::Call
                    && instruction.near_branch_target() == callee
                {
                    return last.map_or(Err("nothing is put into RSI before the call"), written);
                }
                remember(&mut last, &mut writes, &instruction, Register::RSI);
            }
        }
    }
    Err(match scan {
        Scan::Return => "there is no ret in its first 512 bytes",
        Scan::Segment => "there is no FS or GS operand in its first 512 bytes",
        Scan::Source => "that function isn't called in its first 512 bytes",
    })
}

/// Keeps the instruction in `last` if it writes `register`.
fn remember(
    last: &mut Option<Instruction>,
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    register: Register,
) {
    if written_registers(instruction, factory).any(|written| written == register) {
        *last = Some(*instruction);
    }
}

/// The offset or number that an instruction puts into the register that it writes.
fn written(instruction: Instruction) -> Result<u64, &'static str> {
    let memory = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    if memory && instruction.is_ip_rel_memory_operand() {
        return Err("it loads a variable, which has no offset");
    }
    if memory {
        return Ok(instruction.memory_displacement64());
    }
    if instruction.op_count() == 2 && is_immediate(instruction.op1_kind()) {
        return Ok(instruction.immediate(1));
    }
    let same =
        instruction.op_count() == 2 && instruction.op0_register() == instruction.op1_register();
    if same && matches!(instruction.mnemonic(), Mnemonic::Xor | Mnemonic::Sub) {
        return Ok(0);
    }
    Err("the register comes from another register")
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}
