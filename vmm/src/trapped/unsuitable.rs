//! Finds the unsupported access to a trapped page behind what a guest does.

use std::collections::BTreeSet;

use iced_x86::UsedMemory;

use crate::disassemble;
use crate::exit::Exit;
use crate::instruction::{self, Decoded};
use crate::memory::{Memory, PAGE_SIZE};
use crate::paging;
use crate::registers::{Registers, SystemRegisters};
use crate::snapshot::page_tables;
use crate::unsupported::UnsupportedAccess;

/// The offset of the last byte of a TSS in 64-bit mode; an I/O bitmap may follow.
const TSS_LIMIT: u64 = 0x67;

/// The parts of a vCPU's registers that determine where its tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableRegisters([u64; 12]);

impl TableRegisters {
    pub(super) fn of(system: &SystemRegisters) -> Self {
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

/// The unsupported access behind an unexpected exit, if a trapped page caused it. `exit` is `None`
/// if KVM may be retrying for ever. `decoded` is the instruction at RIP.
pub(super) fn explain(
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
    decoded: Option<&Decoded>,
    exit: Option<&Exit>,
) -> Option<UnsupportedAccess> {
    let mut found =
        misplaced_code(registers, system, memory).or_else(|| misplaced_table(system, memory));
    // A triple fault is usually the guest's own fault.
    if exit != Some(&Exit::Shutdown) {
        found = found
            .or_else(|| impossible_access(decoded?, registers, system, memory, exit.is_none()));
    }
    // Only a failure of KVM can mean that KVM needed the stack.
    if matches!(exit, Some(Exit::InternalError { .. })) {
        found = found.or_else(|| misplaced_stack(registers, system, memory));
    }
    found
}

/// Whether the next instruction is in a trapped page.
pub(crate) fn misplaced_code(
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<UnsupportedAccess> {
    let gpa = watched_at(instruction::linear(registers.rip, system), system, memory)?;
    Some(UnsupportedAccess::Fetch { gpa })
}

/// Whether the stack is in a trapped page, where no interrupt can be delivered.
fn misplaced_stack(
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<UnsupportedAccess> {
    let gva = registers.rsp.wrapping_sub(1);
    Some(UnsupportedAccess::Stack { gva, gpa: watched_at(gva, system, memory)? })
}

/// A table of the processor that is in a trapped page.
pub(crate) fn misplaced_table(
    system: &SystemRegisters,
    memory: &Memory,
) -> Option<UnsupportedAccess> {
    let mut tables = BTreeSet::new();
    page_tables(system, memory, &mut tables);
    if let Some(gpa) = tables.into_iter().find(|table| memory.is_trapped(*table)) {
        return Some(UnsupportedAccess::PageTable { gpa, cr3: system.cr3 });
    }
    // The offset of the last byte of a selector's descriptor.
    let end = |selector: u16| u64::from(selector | 7);
    let uses_ldt = system.ldt.selector & !3 != 0;
    let loaded = [system.cs, system.ss, system.ds, system.es, system.tr];
    // The limit may be larger than the table: only descriptors up to the highest selector in use
    // count.
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
            watched_at(gva, system, memory).map(|gpa| UnsupportedAccess::Table { name, gva, gpa })
        })
    })
}

/// The operand in a trapped page of an instruction that KVM's emulator failed at. `stuck`: KVM
/// reported no failure.
fn impossible_access(
    decoded: &Decoded,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
    stuck: bool,
) -> Option<UnsupportedAccess> {
    decoded.accesses.iter().find_map(|used| {
        // A vCPU that was merely interrupted may be before any access.
        if stuck && matches!(used.memory_size().size(), 1 | 2 | 4 | 8) {
            return None;
        }
        let gva = instruction::address(used, registers, system)?;
        let gpa = watched_at(gva, system, memory)?;
        let instruction = disassemble::instruction(&decoded.instruction);
        Some(UnsupportedAccess::Unsupported { instruction, gva, gpa })
    })
}

/// The access of an instruction that touches `gpa` and of which KVM performs only a part at a time.
pub(crate) fn split(
    decoded: &Decoded,
    registers: &Registers,
    system: &SystemRegisters,
    memory: &Memory,
    gpa: u64,
    of_kind: fn(&UsedMemory) -> bool,
) -> Option<UnsupportedAccess> {
    decoded.accesses.iter().filter(|used| of_kind(used)).find_map(|used| {
        let size = used.memory_size().size();
        let gva = instruction::address(used, registers, system)?;
        let touches = (0..size as u64)
            .any(|byte| paging::translate(system, memory, gva.wrapping_add(byte)) == Ok(gpa));
        let instruction = || disassemble::instruction(&decoded.instruction);
        touches.then(|| UnsupportedAccess::Split { instruction: instruction(), gva, gpa, size })
    })
}

/// The guest-physical address of a linear address, if it is trapped.
fn watched_at(gva: u64, system: &SystemRegisters, memory: &Memory) -> Option<u64> {
    let gpa = paging::translate(system, memory, gva).ok()?;
    memory.is_trapped(gpa).then_some(gpa)
}
