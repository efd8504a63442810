//! Finds the pages that hold a vCPU's page tables.
//!
//! A processor caches translations, and so does KVM where it shadows page tables. When a page that
//! holds a table is restored without the guest's knowledge, these translations must be discarded.

use std::collections::BTreeSet;

use crate::memory::{Memory, PAGE_SIZE};
use crate::registers::SystemRegisters;

/// Bits 12 to 51 of an entry: the address of the page (Intel SDM vol. 3, 5.5).
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PRESENT: u64 = 1;
/// Bit 7 of an entry above the last level: the entry maps a large page.
const LARGE: u64 = 1 << 7;

/// Adds the pages of the tables that are reachable from CR3; adds nothing if paging is off.
pub(crate) fn page_tables(system: &SystemRegisters, memory: &Memory, pages: &mut BTreeSet<u64>) {
    if system.cr0 & SystemRegisters::CR0_PG == 0 {
        return;
    }
    let has = |register: u64, bit: u64| register & bit != 0;
    // The number of levels, and the size of an entry in bytes.
    let (levels, width) = match (
        has(system.cr4, SystemRegisters::CR4_PAE),
        has(system.efer, SystemRegisters::EFER_LMA),
    ) {
        (false, _) => (2, 4),
        (true, false) => (3, 8),
        (true, true) if has(system.cr4, SystemRegisters::CR4_LA57) => (5, 8),
        (true, true) => (4, 8),
    };
    walk(system.cr3 & ADDRESS, levels, width, memory, pages);
}

fn walk(table: u64, level: u32, width: usize, memory: &Memory, pages: &mut BTreeSet<u64>) {
    let mut entries = [0; PAGE_SIZE as usize];
    // A table that several entries refer to is walked once.
    if memory.read(table, &mut entries).is_err() || !pages.insert(table) || level == 1 {
        return;
    }
    for entry in entries.chunks_exact(width) {
        let mut word = [0; 8];
        word[..width].copy_from_slice(entry);
        let entry = u64::from_le_bytes(word);
        // Levels 4 and 5 have no large pages.
        if entry & PRESENT != 0 && (entry & LARGE == 0 || level > 3) {
            walk(entry & ADDRESS, level - 1, width, memory, pages);
        }
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
