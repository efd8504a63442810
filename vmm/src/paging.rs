//! Translates guest-virtual to guest-physical addresses as a processor does, but without side
//! effects: not even accessed and dirty bits are written. Protection bits are ignored.

mod mappings;

use std::ops::Range;

use crate::registers::SystemRegisters;

pub use mappings::{Mapping, mappings};

/// Guest-physical memory that can be read.
pub trait PhysicalMemory {
    /// Fills `buffer` from `address`; returns whether all of it exists.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;
}

/// The size of a page in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// The whole pages that overlap a range of addresses.
pub(crate) fn pages(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE_SIZE * PAGE_SIZE..range.end.next_multiple_of(PAGE_SIZE)
}

/// Why an address has no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A page-table entry isn't present.
    #[error("not mapped: its level-{level} page-table entry isn't present")]
    NotPresent {
        /// The entry's level; 1 is the last level.
        level: u32,
    },
    /// The address is too large for the mode, or is not canonical.
    #[error("not a canonical address")]
    NotCanonical,
    /// A page-table entry, or the page itself, is outside RAM.
    #[error("no RAM at guest-physical {address:#x}")]
    NoRam {
        /// The guest-physical address.
        address: u64,
    },
}

/// The paging mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No paging: CR0.PG is clear.
    Off,
    /// 32-bit paging: two levels of 4-byte entries.
    Bits32 {
        /// CR4.PSE: an entry may map 4 MiB.
        large: bool,
    },
    /// PAE paging: three levels, the first with four entries.
    Pae,
    /// Long mode with four or five levels.
    Long {
        /// The number of levels, 4 or 5.
        levels: u32,
    },
}

impl Mode {
    /// The mode that these registers select.
    pub fn of(system: &SystemRegisters) -> Self {
        if system.cr0 & SystemRegisters::CR0_PG == 0 {
            Self::Off
        } else if system.efer & SystemRegisters::EFER_LMA != 0 {
            let five = system.cr4 & SystemRegisters::CR4_LA57 != 0;
            Self::Long { levels: if five { 5 } else { 4 } }
        } else if system.cr4 & SystemRegisters::CR4_PAE != 0 {
            Self::Pae
        } else {
            Self::Bits32 { large: system.cr4 & SystemRegisters::CR4_PSE != 0 }
        }
    }

    /// Whether an address is valid in this mode.
    pub fn is_canonical(self, gva: u64) -> bool {
        match self {
            Self::Off | Self::Bits32 { .. } | Self::Pae => gva >> 32 == 0,
            Self::Long { levels } => {
                let above = 64 - (12 + 9 * levels);
                ((gva << above) as i64 >> above) as u64 == gva
            }
        }
    }
}

/// Bit 0 of every entry.
const PRESENT: u64 = 1;
/// Bit 7 of an entry above the last level: it maps a large page.
const LARGE: u64 = 1 << 7;
/// Bits 51 to 12: the address in an 8-byte entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The guest-physical address of guest-virtual address `gva`.
pub fn translate<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    memory: &M,
    gva: u64,
) -> Result<u64, Fault> {
    let mode = Mode::of(system);
    if !mode.is_canonical(gva) {
        return Err(Fault::NotCanonical);
    }
    match mode {
        Mode::Off => Ok(gva),
        Mode::Bits32 { large } => walk_32(memory, system.cr3, large, gva),
        // CR3 contains bits 31 to 5 of the first table's address. Its four entries have no large
        // bit.
        Mode::Pae => {
            let table = system.cr3 & 0xffff_ffe0;
            let entry = present(entry(memory, table + (gva >> 30) * 8)?, 3)?;
            walk(memory, entry & ADDRESS, 2, gva)
        }
        Mode::Long { levels } => walk(memory, system.cr3 & ADDRESS, levels, gva),
    }
}

/// Walks tables of 512 8-byte entries.
fn walk<M: PhysicalMemory + ?Sized>(
    memory: &M,
    mut table: u64,
    levels: u32,
    gva: u64,
) -> Result<u64, Fault> {
    for level in (1..=levels).rev() {
        let shift = 12 + 9 * (level - 1);
        let index = (gva >> shift) & 0x1ff;
        let entry = present(entry(memory, table + index * 8)?, level)?;
        table = entry & ADDRESS;
        let large = matches!(level, 2 | 3) && entry & LARGE != 0;
        if level == 1 || large {
            let offset = (1 << shift) - 1;
            return Ok((table & !offset) | (gva & offset));
        }
    }
    Ok(table)
}

/// Walks the two levels of 4-byte entries.
fn walk_32<M: PhysicalMemory + ?Sized>(
    memory: &M,
    cr3: u64,
    large: bool,
    gva: u64,
) -> Result<u64, Fault> {
    let directory = (cr3 & 0xffff_f000) + (gva >> 22) * 4;
    let entry = present(entry_32(memory, directory)?, 2)?;
    if large && entry & LARGE != 0 {
        // PSE-36: bits 20 to 13 are bits 39 to 32 of the address.
        let high = ((entry >> 13) & 0xff) << 32;
        return Ok(high | (entry & 0xffc0_0000) | (gva & 0x003f_ffff));
    }
    let table = (entry & 0xffff_f000) + ((gva >> 12) & 0x3ff) * 4;
    let entry = present(entry_32(memory, table)?, 1)?;
    Ok((entry & 0xffff_f000) | (gva & 0xfff))
}

fn entry<M: PhysicalMemory + ?Sized>(memory: &M, address: u64) -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    if memory.read(address, &mut bytes) {
        Ok(u64::from_le_bytes(bytes))
    } else {
        Err(Fault::NoRam { address })
    }
}

fn entry_32<M: PhysicalMemory + ?Sized>(memory: &M, address: u64) -> Result<u64, Fault> {
    let mut bytes = [0; 4];
    if memory.read(address, &mut bytes) {
        Ok(u64::from(u32::from_le_bytes(bytes)))
    } else {
        Err(Fault::NoRam { address })
    }
}

fn present(entry: u64, level: u32) -> Result<u64, Fault> {
    if entry & PRESENT == 0 { Err(Fault::NotPresent { level }) } else { Ok(entry) }
}

/// Fills `buffer` from guest-virtual `gva`, page by page.
pub fn read<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    memory: &M,
    gva: u64,
    buffer: &mut [u8],
) -> Result<(), Fault> {
    let mut gva = gva;
    let mut rest = buffer;
    while !rest.is_empty() {
        let in_page = (PAGE_SIZE - gva % PAGE_SIZE) as usize;
        let (now, later) = rest.split_at_mut(in_page.min(rest.len()));
        let address = translate(system, memory, gva)?;
        if !memory.read(address, now) {
            return Err(Fault::NoRam { address });
        }
        if later.is_empty() {
            break;
        }
        gva = gva.checked_add(now.len() as u64).ok_or(Fault::NotCanonical)?;
        rest = later;
    }
    Ok(())
}

/// Reads a little-endian integer of up to 8 bytes.
pub fn read_integer<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    memory: &M,
    gva: u64,
    size: usize,
) -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    let size = size.min(bytes.len());
    let (used, _) = bytes.split_at_mut(size);
    read(system, memory, gva, used)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
