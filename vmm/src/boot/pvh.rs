//! The Xen/PVH boot protocol (Xen `docs/misc/pvh.pandoc`): the boot data in memory, and the initial
//! state of the first vCPU.

use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{hvm_memmap_table_entry, hvm_start_info};
use vm_memory::GuestAddress;

use super::layout;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::registers::{Registers, Segment, SystemRegisters, Table};

/// `XEN_HVM_START_MAGIC_VALUE`: "xEn3" with the top bit of the E set.
const START_MAGIC: u32 = 0x336e_c578;
/// Memory map types, as in E820.
const RAM: u32 = 1;
const RESERVED: u32 = 2;
/// The maximum length of the command line, with its final NUL.
pub const MAX_COMMAND_LINE: usize = 2048;

/// A flat GDT: null, 32-bit code, data, and a TSS, which PVH requires in TR.
const GDT: [u64; 4] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067];

/// Writes the start info, memory map, command line and GDT.
pub fn write_boot_data(memory: &Memory, command_line: &str) -> Result<()> {
    let problem = if command_line.len() >= MAX_COMMAND_LINE {
        Some(format!("{} bytes long; at most {} fit", command_line.len(), MAX_COMMAND_LINE - 1))
    } else if command_line.contains('\0') {
        Some("has a NUL byte in it".into())
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(Error::Config { setting: "--cmdline", value: command_line.into(), problem });
    }
    memory.write(layout::COMMAND_LINE, command_line.as_bytes())?;
    memory.write(layout::COMMAND_LINE + command_line.len() as u64, &[0])?;
    memory.write(layout::GDT, &GDT.map(u64::to_le_bytes).concat())?;

    let map = memory_map(memory);
    let start_info = hvm_start_info {
        magic: START_MAGIC,
        version: 1,
        cmdline_paddr: layout::COMMAND_LINE,
        memmap_paddr: layout::MEMORY_MAP,
        memmap_entries: map.len() as u32,
        ..Default::default()
    };
    let mut parameters = BootParams::new(&start_info, GuestAddress(layout::START_INFO));
    parameters.set_sections(&map, GuestAddress(layout::MEMORY_MAP));
    PvhBootConfigurator::write_bootparams(&parameters, memory.map())
        .map_err(|_| Error::Unbacked { address: layout::START_INFO, length: 0x1000 })
}

fn memory_map(memory: &Memory) -> Vec<hvm_memmap_table_entry> {
    let entry = |addr, end: u64, type_| hvm_memmap_table_entry {
        addr,
        size: end - addr,
        type_,
        reserved: 0,
    };
    let mut map =
        vec![entry(0, layout::LOW_END, RAM), entry(layout::LOW_END, layout::HIGH_START, RESERVED)];
    for region in memory.regions() {
        map.push(entry(region.start.max(layout::HIGH_START), region.start + region.size, RAM));
    }
    map
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
    let flat =
        |index: u16, access| Segment { base: 0, limit: 0xffff_ffff, selector: index * 8, access };
    let data = flat(2, 0xc093);
    SystemRegisters {
        cs: flat(1, 0xc09b),
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: Segment { base: 0, limit: 0x67, selector: 0x18, access: 0x8b },
        gdt: Table { base: layout::GDT, limit: (size_of_val(&GDT) - 1) as u16 },
        idt: Table::default(),
        cr0: SystemRegisters::CR0_PE | ET,
        cr3: 0,
        cr4: 0,
        efer: 0,
        ..*reset
    }
}

#[cfg(test)]
#[path = "pvh_tests.rs"]
mod tests;
