//! The decoder of the guest's instructions.
//!
//! Everything that decodes instructions uses this module: the schedulers, analyses of a stopped
//! guest, and scripts. Instructions are read through the guest's page tables, which are walked
//! here: a call to KVM would cost as much as an exit. The schedulers keep what they have decoded,
//! so they do not notice changes that a guest makes to its own code.

mod before;
mod cache;
mod operand;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind,
    UsedMemory,
};
use smallvec::SmallVec;

use crate::memory::Memory;
use crate::paging::{self, PAGE_SIZE, PhysicalMemory};
use crate::registers::SystemRegisters;

pub(crate) use cache::Instructions;
use operand::is_write;
pub(crate) use operand::{address, reads, set_value, value, writes};
pub use operand::{memory_reads, written_registers};

/// The maximum length of an x86 instruction in bytes.
pub const MAX_INSTRUCTION: usize = 15;

/// A decoded instruction, and the properties that follow from it alone.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) instruction: Instruction,
    /// The memory that it accesses, including the stack.
    pub(crate) accesses: SmallVec<[UsedMemory; 2]>,
    /// Whether it reads and writes memory as one atomic access.
    pub(crate) locked: bool,
    /// Whether it is a repeated string instruction, whose operands don't say how far it goes.
    pub(crate) repeats: bool,
    /// Whether it changes extended state, that is, more than general-purpose registers: for example
    /// a vector register or a control register.
    pub(crate) extended: bool,
}

impl Decoded {
    /// Whether a vCPU that began this instruction, and is at `rip` after a single step, has
    /// executed it. KVM may end a step without that: where it emulates a locked instruction and
    /// another vCPU writes in between, and where it can't emulate an access to a trapped page, it
    /// starts again. (A string instruction that has more to do is at the same RIP, too.)
    pub(crate) fn was_executed(&self, rip: u64) -> bool {
        let instruction = &self.instruction;
        let leads_to_itself = match instruction.flow_control() {
            FlowControl::Next => false,
            FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::Call => instruction.near_branch_target() == instruction.ip(),
            _ => true,
        };
        rip != instruction.ip() || leads_to_itself
    }
}

/// The instruction at a linear address, through the guest's page tables. It may end at a page
/// boundary with the next page not mapped. `None` if nothing is mapped there, or the bytes are not
/// an instruction.
pub fn at<M: PhysicalMemory + ?Sized>(
    linear: u64,
    system: &SystemRegisters,
    memory: &M,
) -> Option<Instruction> {
    let code = fetch(linear, MAX_INSTRUCTION, system, memory);
    decode_all(&code, linear, system.code_bits()).next()
}

/// The instructions in these bytes, which are at `address` in code of 16, 32 or 64 bits, one after
/// the other, up to the first bytes that are not an instruction.
pub fn decode_all(code: &[u8], address: u64, bits: u32) -> impl Iterator<Item = Instruction> {
    decoder(code, address, bits).into_iter().take_while(|instruction| !instruction.is_invalid())
}

/// A decoder of these bytes, which are at `address` in code of 16, 32 or 64 bits.
pub(crate) fn decoder(code: &[u8], address: u64, bits: u32) -> Decoder<'_> {
    Decoder::with_ip(bits, code, address, DecoderOptions::NONE)
}

/// The instruction that is at `rip` now. `None` if nothing is mapped there, or the bytes are not an
/// instruction.
pub(crate) fn look(rip: u64, system: &SystemRegisters, memory: &Memory) -> Option<Decoded> {
    let code = fetch(linear(rip, system), MAX_INSTRUCTION, system, &memory.as_loaded());
    decode(&code, rip, system.code_bits())
}

/// The linear address of `rip`.
pub fn linear(rip: u64, system: &SystemRegisters) -> u64 {
    if system.code_bits() == 64 { rip } else { system.cs.base.wrapping_add(rip) & 0xffff_ffff }
}

/// Up to `length` bytes of code, as far as they are mapped.
fn fetch<M: PhysicalMemory + ?Sized>(
    linear: u64,
    length: usize,
    system: &SystemRegisters,
    memory: &M,
) -> Vec<u8> {
    let mut code = vec![0; length];
    let in_page = (PAGE_SIZE - linear % PAGE_SIZE) as usize;
    if paging::read(system, memory, linear, &mut code).is_err() {
        code.truncate(in_page.min(length));
        if paging::read(system, memory, linear, &mut code).is_err() {
            code.clear();
        }
    }
    code
}

fn decode(code: &[u8], rip: u64, bits: u32) -> Option<Decoded> {
    let instruction = decode_all(code, rip, bits).next()?;
    let memory = (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
    // A LOCK prefix, or XCHG with memory, which locks without a prefix (Intel SDM vol. 3, 9.1.2).
    let locked =
        instruction.has_lock_prefix() || instruction.mnemonic() == Mnemonic::Xchg && memory;
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let used = info.used_memory();
    let accesses = used.iter().filter(|used| reads(used) || writes(used)).copied().collect();
    let extended = info
        .used_registers()
        .iter()
        .any(|used| is_write(used.access()) && !used.register().is_gpr());
    // The effects of these privileged instructions are visible in flags and general-purpose
    // registers.
    let seen = matches!(
        instruction.mnemonic(),
        Mnemonic::Cli
            | Mnemonic::Sti
            | Mnemonic::Hlt
            | Mnemonic::Rdmsr
            | Mnemonic::In
            | Mnemonic::Out
    );
    let extended = extended || instruction.is_privileged() && !seen;
    let repeats = instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
    Some(Decoded { instruction, accesses, locked, repeats, extended })
}

#[cfg(test)]
#[path = "instruction_tests.rs"]
mod tests;
