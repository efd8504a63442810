//! Decodes the guest's instructions, and finds the loop around RIP.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction};
use vmm::paging::{self, PhysicalMemory};
use vmm::registers::SystemRegisters;

use super::Observation;
use crate::symbols::Symbols;

/// The length of the longest x86 instruction.
const MAX_INSTRUCTION: usize = 15;
/// The most instructions of a loop. Longer loops are not found.
const MAX_LOOP: usize = 128;
/// Without symbols, samples that are farther from RIP than this are assumed to be in other
/// functions.
const NEARBY: u64 = 256;

/// The guest's code, by linear address.
pub(super) struct Code<'a, M: ?Sized> {
    system: &'a SystemRegisters,
    memory: &'a M,
    symbols: Option<&'a Symbols>,
    base: u64,
}

impl<'a, M: PhysicalMemory + ?Sized> Code<'a, M> {
    pub(super) fn new(seen: &Observation<'a, M>, base: u64) -> Self {
        Self { system: seen.system, memory: seen.memory, symbols: seen.symbols, base }
    }

    /// The instruction at a linear address.
    pub(super) fn decode(&self, address: u64) -> Option<Instruction> {
        let mut bytes = [0; MAX_INSTRUCTION];
        let mut length = bytes.len();
        // The instruction may end at a page boundary, with the next page not mapped.
        while paging::read(self.system, self.memory, address, bytes.get_mut(..length)?).is_err() {
            length = length.checked_sub(1).filter(|&length| length > 0)?;
        }
        let bits = self.system.code_bits();
        let code = bytes.get(..length)?;
        let instruction =
            Decoder::try_with_ip(bits, code, address, DecoderOptions::NONE).ok()?.decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    /// The instructions of the smallest loop that contains RIP and every sample in the same
    /// function. The last instruction is the jump back.
    pub(super) fn find_loop(&self, rip: u64, sampled: &[u64]) -> Option<Vec<Instruction>> {
        let near: Vec<u64> = sampled
            .iter()
            .map(|&address| self.base.wrapping_add(address))
            .filter(|&address| self.same_function(rip, address))
            .chain([rip])
            .collect();
        let low = near.iter().copied().min()?;
        let high = near.iter().copied().max()?;
        let mut address = low;
        for _ in 0..MAX_LOOP {
            let instruction = self.decode(address)?;
            if address >= high
                && let Some(start) = jump_back(&instruction).filter(|&start| start <= low)
            {
                return self.between(start, instruction.next_ip());
            }
            address = instruction.next_ip();
            if address <= low || !self.same_function(rip, address) {
                return None;
            }
        }
        None
    }

    fn between(&self, start: u64, end: u64) -> Option<Vec<Instruction>> {
        let mut instructions = Vec::new();
        let mut address = start;
        while address < end {
            if instructions.len() == MAX_LOOP {
                return None;
            }
            let instruction = self.decode(address)?;
            address = instruction.next_ip();
            instructions.push(instruction);
        }
        Some(instructions)
    }

    fn same_function(&self, rip: u64, address: u64) -> bool {
        let start = |address| {
            let (_, offset) = self.symbols?.function(address)?;
            Some(address.wrapping_sub(offset))
        };
        match start(rip) {
            Some(function) => start(address) == Some(function),
            None => rip.abs_diff(address) <= NEARBY,
        }
    }
}

/// The target of a jump that goes backwards or to itself.
fn jump_back(instruction: &Instruction) -> Option<u64> {
    let jumps = matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    );
    let target = instruction.near_branch_target();
    (jumps && target <= instruction.ip()).then_some(target)
}

/// An instruction in AT&T syntax, as `objdump -d` writes it.
pub(super) fn text(instruction: &Instruction) -> String {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_rip_relative_addresses(false);
    let mut text = String::new();
    formatter.format(instruction, &mut text);
    text
}
