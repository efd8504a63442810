//! Finds the loop around RIP in the guest's code.

use std::sync::Arc;

use iced_x86::{FlowControl, Instruction};
use vmm::instruction;
use vmm::paging::PhysicalMemory;
use vmm::registers::SystemRegisters;

use super::Observation;
use crate::symbols::Symbols;

/// The most instructions of a loop. Longer loops are not found.
const MAX_LOOP: usize = 128;
/// Without symbols, samples that are farther from RIP than this are assumed to be in other
/// functions.
const NEARBY: u64 = 256;

/// The guest's code, by linear address.
pub(super) struct Code<'a, M: ?Sized> {
    system: &'a SystemRegisters,
    memory: &'a M,
    symbols: Option<Arc<Symbols>>,
}

impl<'a, M: PhysicalMemory + ?Sized> Code<'a, M> {
    pub(super) fn new(seen: &Observation<'a, M>) -> Self {
        Self { system: seen.system, memory: seen.memory, symbols: seen.inspector.symbols() }
    }

    /// The instruction at a linear address.
    pub(super) fn decode(&self, address: u64) -> Option<Instruction> {
        instruction::at(address, self.system, self.memory)
    }

    /// The instructions of the smallest loop that contains RIP and every sample in the same
    /// function. The last instruction is the jump back.
    pub(super) fn find_loop(&self, rip: u64, sampled: &[u64]) -> Option<Vec<Instruction>> {
        let near: Vec<u64> = sampled
            .iter()
            .map(|&address| instruction::linear(address, self.system))
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
            let (_, offset) = self.symbols.as_deref()?.function(address)?;
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
