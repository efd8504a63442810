//! Makes the accesses that hooks are told of out of the watchpoints that were hit.

use smallvec::SmallVec;

use super::accessor::{self, Accessor, Operand, Touched};
use super::{WatchReport, Watchpoint};
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Bytes, little};
use crate::guest_debug::{Breakpoint, Length};
use crate::hook::Access;
use crate::instruction::Instructions;
use crate::memory::{Memory, PAGE_SIZE};
use crate::paging;
use crate::registers::{Registers, SystemRegisters};

/// The largest number of mappings among which watched memory is looked for at the end of a run.
const MOST_MAPPINGS: usize = 1 << 16;

/// The data that one vCPU watches by watchpoints.
#[derive(Debug)]
pub(crate) struct Watching {
    watchpoints: Vec<Watchpoint>,
    /// Whether memory still has the value that a store has put there when the store is reported:
    /// there is no other vCPU.
    alone: bool,
    instructions: Instructions,
    report: WatchReport,
}

/// The accesses of one instruction, loads first.
pub(crate) type Accesses = SmallVec<[Access; 2]>;

impl Watching {
    /// Watches for one of `vcpus` vCPUs.
    pub(crate) fn new(watchpoints: &[Watchpoint], vcpus: u32) -> Self {
        Self {
            watchpoints: watchpoints.to_vec(),
            alone: vcpus == 1,
            instructions: Instructions::default(),
            report: WatchReport::default(),
        }
    }

    /// What is put into the debug registers.
    pub(crate) fn breakpoints(&self) -> impl Iterator<Item = Breakpoint> {
        self.watchpoints.iter().map(Watchpoint::breakpoint)
    }

    /// The accesses of the instruction after which watchpoints were hit: bit n of `hits` is
    /// watchpoint n.
    pub(crate) fn accesses(
        &mut self,
        hits: u8,
        cpu: &mut impl Cpu,
        memory: &Memory,
    ) -> Result<Accesses> {
        self.report.exits += 1;
        let (registers, system) = (cpu.registers()?, cpu.system_registers()?);
        // Elsewhere is other memory, which another address space has at this address.
        let is_here =
            |one: &Watchpoint| paging::translate(&system, memory, one.linear) == Ok(one.physical);
        let (mut hit, mut missed) = (Vec::new(), Vec::new());
        for (number, watchpoint) in self.watchpoints.iter().enumerate() {
            if is_here(watchpoint) {
                let list = if hits & 1 << number == 0 { &mut missed } else { &mut hit };
                list.push(*watchpoint);
            }
        }
        if hit.is_empty() {
            return Ok(Accesses::new());
        }
        let touched = Touched { hit: &hit, missed: &missed };
        let found = accessor::find(touched, &registers, &system, memory, &mut self.instructions);
        match found {
            Some(found) => self.exact(&found, &hit, &registers, &system, memory),
            None => self.inexact(touched, &registers, memory),
        }
    }

    fn exact(
        &mut self,
        accessor: &Accessor,
        hit: &[Watchpoint],
        registers: &Registers,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Result<Accesses> {
        let (rip, locked) = (accessor.rip, accessor.locked);
        let mut accesses = Accesses::new();
        for write in [false, true] {
            let kind = |operand: &&Operand| if write { operand.stores } else { operand.loads };
            for operand in accessor.operands.iter().filter(kind) {
                for (linear, size) in parts(operand.linear, operand.size) {
                    let is_hit = |one: &Watchpoint| one.is_touched_by(linear, size);
                    if !hit.iter().any(is_hit) {
                        continue;
                    }
                    let Ok(address) = paging::translate(system, memory, linear) else { continue };
                    let value = self.value(write, address, size, memory)?;
                    let rip = if write && !locked { registers.rip } else { rip };
                    let (size, before, exact) = (size as u8, 0, true);
                    let access = Access { address, size, write, value, before, locked, rip, exact };
                    accesses.push(access);
                }
            }
        }
        self.report.repeated += u64::from(accessor.repeats);
        Ok(accesses)
    }

    /// The accesses of an instruction that isn't known.
    fn inexact(
        &mut self,
        touched: Touched,
        registers: &Registers,
        memory: &Memory,
    ) -> Result<Accesses> {
        let mut accesses = Accesses::new();
        let mut put = |one: &Watchpoint, write, value| {
            accesses.push(Access {
                address: one.physical,
                size: one.length.bytes() as u8,
                write,
                value,
                before: 0,
                locked: false,
                rip: registers.rip,
                exact: false,
            });
        };
        let for_stores = |one: &Watchpoint, list: &[Watchpoint]| {
            list.iter().any(|other| other.stores_only && other.is_beside(one))
        };
        let mut unreported = 0;
        for one in touched.hit.iter().filter(|one| !one.stores_only) {
            // The watchpoint for stores beside it wasn't hit.
            if for_stores(one, touched.missed) {
                put(one, false, 0);
            } else {
                unreported = 1;
            }
        }
        for one in touched.hit.iter().filter(|one| one.stores_only) {
            put(one, true, self.value(true, one.physical, one.length.bytes(), memory)?);
        }
        self.report.inexact += accesses.len() as u64;
        self.report.unreported += unreported;
        Ok(accesses)
    }

    /// The value that a store has left in memory; 0 if it isn't known, and for loads.
    fn value(&self, write: bool, address: u64, size: u64, memory: &Memory) -> Result<u64> {
        if !write || !self.alone {
            return Ok(0);
        }
        let mut bytes = Bytes::from_elem(0, size as usize);
        memory.read(address, &mut bytes)?;
        Ok(little(&bytes))
    }

    /// The report at the end of the run, when the vCPU has these registers.
    pub(crate) fn report(&self, system: &SystemRegisters, memory: &Memory) -> WatchReport {
        let mut report = self.report.clone();
        for mapping in paging::mappings(system, memory, MOST_MAPPINGS) {
            for one in &self.watchpoints {
                let Some(offset) = one.physical.checked_sub(mapping.phys) else { continue };
                let linear = mapping.virt.wrapping_add(offset);
                if offset < mapping.size && !self.has(one.physical, linear) {
                    report.other_addresses.push(linear);
                }
            }
        }
        report.other_addresses.sort_unstable();
        report.other_addresses.dedup();
        report
    }

    fn has(&self, physical: u64, linear: u64) -> bool {
        self.watchpoints.iter().any(|one| (one.physical, one.linear) == (physical, linear))
    }
}

/// Divides an access into parts of at most 8 bytes, each in one page.
fn parts(linear: u64, size: u64) -> impl Iterator<Item = (u64, u64)> {
    let (mut linear, mut left) = (linear, size);
    std::iter::from_fn(move || {
        let part = left.min(Length::Eight.bytes()).min(PAGE_SIZE - linear % PAGE_SIZE);
        let this = (linear, part);
        (linear, left) = (linear.wrapping_add(part), left - part);
        (part > 0).then_some(this)
    })
}

#[cfg(test)]
#[path = "touched_tests.rs"]
mod tests;
