//! Boots a guest: everything up to its first instruction.
//!
//! * `loader`: the trait of what loads a kind of image, and `elf_pvh`, the only implementation;
//! * [`elf`]: checks an ELF image and loads it into memory;
//! * `code_pages`: the pages of an image that hold only code;
//! * `notes`: the PVH entry point of an image;
//! * [`segments`]: the guest-physical addresses of an image's segments;
//! * [`pvh`]: the Xen/PVH boot protocol: start info, memory map, the first vCPU's registers;
//! * [`mptable`]: the table in which a guest without ACPI finds its processors.

mod code_pages;
pub mod elf;
mod elf_pvh;
mod loader;
pub mod mptable;
mod notes;
pub mod pvh;
pub mod segments;

use crate::config::MachineConfig;
use crate::error::Result;
use crate::memory::Memory;

pub(crate) use code_pages::code_pages;
use loader::Loader;
pub(crate) use loader::Start;

/// Loads the guest and its boot data into memory, for either scheduler. Returns how the first vCPU
/// starts.
pub(crate) fn load(config: &MachineConfig, memory: &Memory) -> Result<Start> {
    let start = elf_pvh::ElfPvh.load(config, memory)?;
    mptable::write(memory, config.cpus.get())?;
    Ok(start)
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
