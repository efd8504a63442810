//! Finding out that a watched page is used for what it can't be.
//!
//! A watched page has no memory slot, so KVM's emulator does each access to it. It takes apart what
//! crosses a page or is longer than 8 bytes, and can't read code, page tables or descriptors there.
//! None of that may pass for an access like any other: it ends the run with an error that names the
//! place. KVM itself only says that it failed (an internal error), or shuts the guest down, or tries
//! again for ever.

use std::collections::BTreeSet;

use super::ControlledMachine;
use super::hash::of_registers;
use super::instruction::{self, Decoded};
use super::misuse::Misuse;
use crate::cpu::Cpu;
use crate::disassemble;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::memory::PAGE_SIZE;
use crate::paging;
use crate::registers::{Registers, SystemRegisters};
use crate::snapshot::page_tables;

/// The last byte of a TSS in 64-bit mode; what may follow is the I/O bitmap.
const TSS_LIMIT: u64 = 0x67;

/// What of a vCPU says where its tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableRegisters([u64; 12]);

impl TableRegisters {
    fn of(system: &SystemRegisters) -> Self {
        let s = system;
        Self([
            s.cr0 & SystemRegisters::CR0_PG,
            s.cr3,
            s.cr4 & (SystemRegisters::CR4_PAE | SystemRegisters::CR4_LA57),
            s.efer & SystemRegisters::EFER_LMA,
            s.gdt.base,
            s.gdt.limit.into(),
            s.idt.base,
            s.idt.limit.into(),
            s.tr.base,
            s.tr.limit.into(),
            s.ldt.base,
            s.ldt.limit.into(),
        ])
    }
}

/// The store that a vCPU did last: its registers behind it, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) registers: u64,
    pub(super) address: u64,
}

impl ControlledMachine {
    /// A vCPU stands before a load of so many watched bytes. Is that all that its instruction loads?
    pub(super) fn check_load(&mut self, vcpu: u32, gpa: u64, size: usize) -> Result<()> {
        let (registers, system) = self.look(vcpu)?;
        let found = self.instructions.at(registers.rip, &system, &self.memory);
        let Some(decoded) = found else { return Ok(()) };
        let mut loads = decoded.accesses.iter().filter(|used| instruction::reads(used));
        if loads.any(|used| used.memory_size().size() == size) {
            return Ok(());
        }
        self.refuse_split(vcpu, &decoded, &registers, &system, gpa, instruction::reads)
    }

    /// A vCPU stands before a store of so many watched bytes. RIP is behind the instruction.
    ///
    /// `last` is the store that the vCPU has just done, if it has done nothing since. An instruction
    /// stores where its registers say, so the same registers and another place are a second part of
    /// the same store.
    pub(super) fn check_store(
        &mut self,
        vcpu: u32,
        gpa: u64,
        size: usize,
        last: Option<Stored>,
    ) -> Result<()> {
        let (registers, system) = self.look(vcpu)?;
        let second = last
            .is_some_and(|last| last.address != gpa && last.registers == of_registers(&registers));
        let odd = !size.is_power_of_two();
        if !second && !odd && !self.touches_an_edge(gpa, size) {
            return Ok(());
        }
        // A string instruction in the middle of its repetitions.
        let here = self.instructions.at(registers.rip, &system, &self.memory);
        let here = here.filter(|decoded| decoded.instruction.is_string_instruction());
        let candidate = match here {
            Some(decoded) => Some((decoded, true)),
            None => self.instructions.before(registers.rip, &system, &self.memory),
        };
        let certain = second || odd;
        // Nothing is held against an instruction that isn't known for sure, unless its store is.
        let candidate = candidate.filter(|(_, sure)| certain || *sure);
        if let Some((decoded, _)) = &candidate {
            let mut stores = decoded.accesses.iter().filter(|used| instruction::writes(used));
            if certain || !stores.any(|used| used.memory_size().size() == size) {
                self.refuse_split(vcpu, decoded, &registers, &system, gpa, instruction::writes)?;
            }
        }
        if !certain {
            return Ok(());
        }
        // The instruction has changed the registers that its address was made of.
        let instruction = candidate.filter(|(_, sure)| *sure).map_or_else(
            || "the instruction before".into(),
            |(decoded, _)| disassemble::instruction(&decoded.instruction),
        );
        let misuse = Misuse::Part { instruction, gpa };
        Err(Error::Watched { vcpu, rip: registers.rip, misuse })
    }

    /// Fails if one of the instruction's accesses is more than one part and touches `gpa`.
    fn refuse_split(
        &mut self,
        vcpu: u32,
        decoded: &Decoded,
        registers: &Registers,
        system: &SystemRegisters,
        gpa: u64,
        of_kind: fn(&iced_x86::UsedMemory) -> bool,
    ) -> Result<()> {
        for used in decoded.accesses.iter().filter(|used| of_kind(used)) {
            let size = used.memory_size().size();
            let Some(gva) = instruction::address(used, registers, system) else { continue };
            let touches = (0..size as u64).any(|byte| {
                paging::translate(system, &*self.memory, gva.wrapping_add(byte)) == Ok(gpa)
            });
            if touches {
                let instruction = disassemble::instruction(&decoded.instruction);
                let rip = decoded.instruction.ip();
                let misuse = Misuse::Split { instruction, gva, gpa, size };
                return Err(Error::Watched { vcpu, rip, misuse });
            }
        }
        Ok(())
    }

    /// Whether a store reaches the end of what is watched: the rest of it may be in plain memory.
    fn touches_an_edge(&self, gpa: u64, size: usize) -> bool {
        let end = gpa + size as u64;
        gpa.is_multiple_of(PAGE_SIZE) && !self.is_watched(gpa.wrapping_sub(1))
            || end.is_multiple_of(PAGE_SIZE) && !self.is_watched(end)
    }

    /// Whether the vCPU's tables are where they can't be; looked at again when they have moved.
    pub(super) fn check_tables(&mut self, vcpu: u32) -> Result<()> {
        let seat = &mut self.seats[vcpu as usize];
        let system = seat.cpu.system_registers()?;
        let now = TableRegisters::of(&system);
        if seat.tables == Some(now) {
            return Ok(());
        }
        let rip = seat.cpu.registers()?.rip;
        if let Some(misuse) = self.misplaced_table(&system) {
            return Err(Error::Watched { vcpu, rip, misuse });
        }
        self.seats[vcpu as usize].tables = Some(now);
        Ok(())
    }

    /// The error behind an exit that makes no sense, if a watched page is behind it. Without an exit:
    /// KVM tries again for ever.
    pub(super) fn explain(&mut self, vcpu: u32, exit: Option<&Exit>) -> Result<Option<Error>> {
        let (registers, system) = self.look(vcpu)?;
        let rip = registers.rip;
        let mut found =
            self.misplaced_code(&registers, &system).or_else(|| self.misplaced_table(&system));
        // A triple fault is the guest's own affair.
        if found.is_none() && exit != Some(&Exit::Shutdown) {
            found = self.impossible_access(&registers, &system, exit.is_none());
        }
        Ok(found.map(|misuse| Error::Watched { vcpu, rip, misuse }))
    }

    fn misplaced_code(&self, registers: &Registers, system: &SystemRegisters) -> Option<Misuse> {
        let gpa = self.watched_at(instruction::linear(registers.rip, system), system)?;
        Some(Misuse::Fetch { gpa })
    }

    fn misplaced_table(&self, system: &SystemRegisters) -> Option<Misuse> {
        let mut tables = BTreeSet::new();
        page_tables(system, &self.memory, &mut tables);
        if let Some(gpa) = tables.into_iter().find(|table| self.is_watched(*table)) {
            return Some(Misuse::PageTable { gpa, cr3: system.cr3 });
        }
        // The last byte of a descriptor by its selector.
        let end = |selector: u16| u64::from(selector | 7);
        let uses_ldt = system.ldt.selector & !3 != 0;
        let loaded = [system.cs, system.ss, system.ds, system.es, system.tr];
        // The limit may be sloppy: as far as selectors are in use.
        let gdt_limit = loaded.iter().map(|segment| end(segment.selector)).max().unwrap_or(0);
        [
            ("GDT", system.gdt.base, gdt_limit.min(system.gdt.limit.into())),
            ("IDT", system.idt.base, system.idt.limit.into()),
            ("TSS", system.tr.base, TSS_LIMIT.min(system.tr.limit.into())),
            ("LDT", system.ldt.base, if uses_ldt { system.ldt.limit.into() } else { 0 }),
        ]
        .into_iter()
        .filter(|(_, _, limit)| *limit > 0)
        .find_map(|(name, base, limit)| {
            let pages = (0..=limit).step_by(PAGE_SIZE as usize).chain([limit]);
            pages.map(|offset| base.wrapping_add(offset)).find_map(|gva| {
                self.watched_at(gva, system).map(|gpa| Misuse::Table { name, gva, gpa })
            })
        })
    }

    /// The operand in a watched page of an instruction that KVM's emulator failed at.
    fn impossible_access(
        &mut self,
        registers: &Registers,
        system: &SystemRegisters,
        stuck: bool,
    ) -> Option<Misuse> {
        let decoded = self.instructions.at(registers.rip, system, &self.memory)?;
        decoded.accesses.iter().find_map(|used| {
            // A vCPU that was only stopped may stand before any access.
            if stuck && matches!(used.memory_size().size(), 1 | 2 | 4 | 8) {
                return None;
            }
            let gva = instruction::address(used, registers, system)?;
            let gpa = self.watched_at(gva, system)?;
            let instruction = disassemble::instruction(&decoded.instruction);
            Some(Misuse::Unsupported { instruction, gva, gpa })
        })
    }

    /// Where a linear address is, if that is watched.
    fn watched_at(&self, gva: u64, system: &SystemRegisters) -> Option<u64> {
        let gpa = paging::translate(system, &*self.memory, gva).ok()?;
        self.is_watched(gpa).then_some(gpa)
    }

    fn look(&mut self, vcpu: u32) -> Result<(Registers, SystemRegisters)> {
        let cpu = &mut self.seats[vcpu as usize].cpu;
        Ok((cpu.registers()?, cpu.system_registers()?))
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
