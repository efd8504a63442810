//! Decodes the guest's instructions, once for each address.
//!
//! The bytes are read through the guest's page tables, which are walked here: a call to KVM would
//! cost as much as an exit. Changes that a guest makes to its own code are not noticed.

use std::collections::HashMap;
use std::sync::Arc;

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register, UsedMemory,
};
use smallvec::SmallVec;

use crate::memory::{Memory, PAGE_SIZE};
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

/// The maximum length of an x86 instruction in bytes.
pub(crate) const MAX_INSTRUCTION: usize = 15;

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

/// The address of an instruction in the guest's code, with its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    linear: u64,
    cr3: u64,
    bits: u32,
}

/// The maximum number of entries in each cache, about 20 MiB in total. A guest with an address
/// space for each of its processes has the same code in many of them; discarded instructions are
/// decoded again.
const MAX_PLACES: usize = 1 << 16;

/// A cache of decoded instructions.
#[derive(Debug, Default)]
pub(crate) struct Instructions {
    known: HashMap<Place, Arc<Decoded>>,
    /// The results of [`before`] for these places.
    before: HashMap<Place, Option<(Arc<Decoded>, bool)>>,
}

impl Instructions {
    /// The instruction at `rip`. `None` if nothing is mapped there, or the bytes are not an
    /// instruction.
    pub(crate) fn at(
        &mut self,
        rip: u64,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Option<Arc<Decoded>> {
        let place = Place::of(rip, system);
        if let Some(known) = self.known.get(&place) {
            return Some(known.clone());
        }
        let decoded = Arc::new(look(rip, system, memory)?);
        make_room(&mut self.known);
        self.known.insert(place, decoded.clone());
        Some(decoded)
    }

    /// The instruction that ends at `rip`, as [`before`] finds it.
    pub(crate) fn before(
        &mut self,
        rip: u64,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Option<(Arc<Decoded>, bool)> {
        let look = || before(rip, system, memory).map(|(found, sure)| (Arc::new(found), sure));
        make_room(&mut self.before);
        self.before.entry(Place::of(rip, system)).or_insert_with(look).clone()
    }
}

/// Empties a full cache: the contents affect only speed.
fn make_room<T>(places: &mut HashMap<Place, T>) {
    if places.len() >= MAX_PLACES {
        places.clear();
    }
}

impl Place {
    fn of(rip: u64, system: &SystemRegisters) -> Self {
        Self { linear: linear(rip, system), cr3: system.cr3, bits: system.code_bits() }
    }
}

/// The instruction that is at `rip` now. `None` if nothing is mapped there, or the bytes are not an
/// instruction.
pub(crate) fn look(rip: u64, system: &SystemRegisters, memory: &Memory) -> Option<Decoded> {
    let code = fetch(linear(rip, system), MAX_INSTRUCTION, system, memory);
    decode(&code, rip, system.code_bits())
}

/// The linear address of `rip`.
pub(crate) fn linear(rip: u64, system: &SystemRegisters) -> u64 {
    if system.code_bits() == 64 { rip } else { system.cs.base.wrapping_add(rip) & 0xffff_ffff }
}

/// Up to `length` bytes of code, as far as they are mapped.
pub(crate) fn fetch(
    linear: u64,
    length: usize,
    system: &SystemRegisters,
    memory: &Memory,
) -> Vec<u8> {
    let mut code = vec![0; length];
    let in_page = (PAGE_SIZE - linear % PAGE_SIZE) as usize;
    let memory = memory.as_loaded();
    if paging::read(system, &memory, linear, &mut code).is_err() {
        code.truncate(in_page.min(length));
        if paging::read(system, &memory, linear, &mut code).is_err() {
            code.clear();
        }
    }
    code
}

fn decode(code: &[u8], rip: u64, bits: u32) -> Option<Decoded> {
    let instruction = Decoder::with_ip(bits, code, rip, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return None;
    }
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
        .any(|used| changes(used.access()) && !used.register().is_gpr());
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

/// Whether the access may be a read.
pub(crate) fn reads(used: &UsedMemory) -> bool {
    use OpAccess::{CondRead, Read, ReadCondWrite, ReadWrite};
    matches!(used.access(), Read | CondRead | ReadWrite | ReadCondWrite)
}

/// Whether the access may be a write.
pub(crate) fn writes(used: &UsedMemory) -> bool {
    changes(used.access())
}

fn changes(access: OpAccess) -> bool {
    use OpAccess::{CondWrite, ReadCondWrite, ReadWrite, Write};
    matches!(access, Write | CondWrite | ReadWrite | ReadCondWrite)
}

/// The linear address of an access, with the registers before the instruction.
pub(crate) fn address(
    used: &UsedMemory,
    registers: &Registers,
    system: &SystemRegisters,
) -> Option<u64> {
    used.virtual_address(0, |register, _, _| value(register, registers, system))
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

/// The instruction that ends at `rip`. Code can't be decoded backwards, so it is decoded from many
/// places before `rip`: a decoder that starts in the middle of an instruction synchronises after a
/// few instructions. Returns the instruction that most attempts find, and whether nearly all find
/// it.
fn before(rip: u64, system: &SystemRegisters, memory: &Memory) -> Option<(Decoded, bool)> {
    const BACK: usize = 64;
    /// The number of bytes that a decoder needs to synchronise.
    const LEAD: usize = 2 * MAX_INSTRUCTION;
    let bits = system.code_bits();
    let start = linear(rip, system).checked_sub(BACK as u64)?;
    let code = fetch(start, BACK, system, memory);
    if code.len() < BACK {
        return None;
    }
    let mut votes = [0u32; MAX_INSTRUCTION + 1];
    for lead in 0..BACK - LEAD {
        let mut decoder =
            Decoder::with_ip(bits, &code, rip.wrapping_sub(BACK as u64), DecoderOptions::NONE);
        decoder.set_position(lead).ok()?;
        let mut last = lead;
        while decoder.can_decode() {
            last = decoder.position();
            if decoder.decode().is_invalid() {
                break;
            }
        }
        if decoder.position() == BACK && BACK - last <= MAX_INSTRUCTION {
            votes[BACK - last] += 1;
        }
    }
    let length = (1..=MAX_INSTRUCTION).max_by_key(|length| votes[*length])?;
    let sure = votes[length] > votes.iter().sum::<u32>() / 8 * 7;
    let decoded = decode(&code[BACK - length..], rip.wrapping_sub(length as u64), bits)?;
    (votes[length] > 0).then_some((decoded, sure))
}

#[cfg(test)]
#[path = "instruction_tests.rs"]
mod tests;
