//! Boots a guest: everything up to its first instruction.
//!
//! * [`elf`]: checks an ELF image and loads it into memory;
//! * `notes`: the PVH entry point of an image;
//! * [`segments`]: the guest-physical addresses of an image's segments;
//! * [`pvh`]: the Xen/PVH boot protocol: start info, memory map, the first vCPU's registers;
//! * [`mptable`]: the table in which a guest without ACPI finds its processors.

pub mod elf;
pub mod mptable;
mod notes;
pub mod pvh;
pub mod segments;

use crate::config::MachineConfig;
use crate::error::Result;
use crate::memory::Memory;

/// Loads the guest and its boot data into memory, for either scheduler. Returns the guest-physical
/// entry point of the first vCPU.
pub(crate) fn load(config: &MachineConfig, memory: &Memory) -> Result<u64> {
    let entry = elf::load(elf::Image::of(config), memory)?;
    pvh::write_boot_data(memory, &config.full_command_line())?;
    mptable::write(memory, config.cpus.get())?;
    Ok(entry)
}

/// The addresses of the boot data, all below 1 MiB, which images must not use.
pub(crate) mod layout {
    /// The GDT for the first instruction.
    pub(crate) const GDT: u64 = 0x500;
    /// `hvm_start_info`.
    pub(crate) const START_INFO: u64 = 0x6000;
    /// The memory map.
    pub(crate) const MEMORY_MAP: u64 = 0x7000;
    /// The command line.
    pub(crate) const COMMAND_LINE: u64 = 0x2_0000;
    /// The end of a PC's usable low memory.
    pub(crate) const LOW_END: u64 = 0x9_fc00;
    /// The MP table: in the BIOS area, where guests search for it.
    pub(crate) const MP_TABLE: u64 = 0xf_0000;
    /// The lowest address for images.
    pub(crate) const HIGH_START: u64 = 0x10_0000;
}
