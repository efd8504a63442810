//! The Xen/PVH boot protocol (Xen `docs/misc/pvh.pandoc`): the boot data in memory, and the initial
//! state of the first vCPU.

use std::ops::Range;

use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{
    hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use vm_memory::GuestAddress;

use super::{flat, layout, memory_map};
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::registers::{Registers, Segment, SystemRegisters};

/// `XEN_HVM_START_MAGIC_VALUE`: "xEn3" with the top bit of the E set.
const START_MAGIC: u32 = 0x336e_c578;
/// A flat GDT: null, 32-bit code, data, and a TSS, which PVH requires in TR.
const GDT: [u64; 4] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067];

/// Writes the start info, memory map, list of modules and GDT. The initrd, if there is one, and the
/// command line have been loaded.
pub(super) fn write_boot_data(memory: &Memory, initrd: Option<Range<u64>>) -> Result<()> {
    write_gdt(memory)?;
    let map: Vec<_> = memory_map::entries(memory).into_iter().map(map_entry).collect();
    let modules: Vec<_> = initrd.into_iter().map(module).collect();
    let start_info = hvm_start_info {
        magic: START_MAGIC,
        version: 1,
        nr_modules: modules.len() as u32,
        modlist_paddr: if modules.is_empty() { 0 } else { layout::MODULES },
        cmdline_paddr: layout::COMMAND_LINE,
        rsdp_paddr: layout::RSDP,
        memmap_paddr: layout::MEMORY_MAP,
        memmap_entries: map.len() as u32,
        ..Default::default()
    };
    let mut parameters = BootParams::new(&start_info, GuestAddress(layout::START_INFO));
    parameters.set_sections(&map, GuestAddress(layout::MEMORY_MAP));
    if !modules.is_empty() {
        parameters.set_modules(&modules, GuestAddress(layout::MODULES));
    }
    PvhBootConfigurator::write_bootparams(&parameters, memory.map())
        .map_err(|_| Error::Unbacked { address: layout::START_INFO, length: 0x1000 })
}

/// Writes the GDT of [`system_registers`].
pub(super) fn write_gdt(memory: &Memory) -> Result<()> {
    memory.write(layout::GDT, &GDT.map(u64::to_le_bytes).concat())
}

fn map_entry(entry: memory_map::Entry) -> hvm_memmap_table_entry {
    let memory_map::Entry { start, size, kind } = entry;
    hvm_memmap_table_entry { addr: start, size, type_: kind, reserved: 0 }
}

fn module(range: Range<u64>) -> hvm_modlist_entry {
    hvm_modlist_entry { paddr: range.start, size: range.end - range.start, ..Default::default() }
}

/// The first vCPU's general-purpose registers.
pub fn registers(entry: u64) -> Registers {
    Registers {
        rip: entry,
        rbx: layout::START_INFO,
        rflags: Registers::RESERVED_FLAG,
        ..Default::default()
    }
}

/// The first vCPU's system registers: 32-bit protected mode, flat segments, no paging. `reset` is
/// the state after reset, from which the APIC base is taken.
pub fn system_registers(reset: &SystemRegisters) -> SystemRegisters {
    const ET: u64 = 1 << 4;
    SystemRegisters {
        tr: Segment { base: 0, limit: 0x67, selector: 0x18, access: 0x8b },
        cr0: SystemRegisters::CR0_PE | ET,
        cr3: 0,
        cr4: 0,
        efer: 0,
        ..flat::segments(reset, 1, 0xc09b, size_of_val(&GDT))
    }
}

#[cfg(test)]
#[path = "pvh_tests.rs"]
mod tests;
