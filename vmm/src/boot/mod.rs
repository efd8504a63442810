//! Getting a guest to its first instruction.
//!
//! * [`elf`]: checks an ELF image and puts it into memory;
//! * `notes`: its PVH entry point;
//! * [`segments`]: where an image's addresses will be in memory;
//! * [`pvh`]: the Xen/PVH boot protocol: start info, memory map, the first vCPU's registers;
//! * [`mptable`]: the table by which a guest without ACPI finds its processors.

pub mod elf;
pub mod mptable;
mod notes;
pub mod pvh;
pub mod segments;

use crate::config::MachineConfig;
use crate::error::Result;
use crate::memory::Memory;

/// Puts the guest and all that it finds at its start into memory, whatever the scheduler. Returns the
/// entry point of its first vCPU, a guest-physical address.
pub(crate) fn load(config: &MachineConfig, memory: &Memory) -> Result<u64> {
    let entry = elf::load(elf::Image::of(config), memory)?;
    pvh::write_boot_data(memory, &config.full_command_line())?;
    mptable::write(memory, config.cpus.get())?;
    Ok(entry)
}

/// Where boot puts its data, all of it below 1 MiB, which images must leave alone.
pub(crate) mod layout {
    /// The GDT for the first instruction.
    pub(crate) const GDT: u64 = 0x500;
    /// `hvm_start_info`.
    pub(crate) const START_INFO: u64 = 0x6000;
    /// The memory map.
    pub(crate) const MEMORY_MAP: u64 = 0x7000;
    /// The command line.
    pub(crate) const COMMAND_LINE: u64 = 0x2_0000;
    /// Where a PC's usable low memory ends.
    pub(crate) const LOW_END: u64 = 0x9_fc00;
    /// The MP table: in the BIOS area, where guests search for it.
    pub(crate) const MP_TABLE: u64 = 0xf_0000;
    /// Where images may begin.
    pub(crate) const HIGH_START: u64 = 0x10_0000;
}
