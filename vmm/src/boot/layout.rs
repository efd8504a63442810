//! The addresses of the boot data, all below 1 MiB, which images must not use. Each protocol uses
//! its part of them.

/// The GDT for the first instruction.
pub(crate) const GDT: u64 = 0x500;
/// PVH: `hvm_start_info`.
pub(crate) const START_INFO: u64 = 0x6000;
/// PVH: the list of modules.
pub(crate) const MODULES: u64 = 0x6800;
/// PVH: the memory map.
pub(crate) const MEMORY_MAP: u64 = 0x7000;
/// 64-bit entry: the top of the stack.
pub(crate) const STACK: u64 = 0x8ff0;
/// 64-bit entry: the page tables, six pages.
pub(crate) const PAGE_TABLES: u64 = 0x9000;
/// Linux: `boot_params`, one page.
pub(crate) const BOOT_PARAMS: u64 = 0x1_0000;
/// Multiboot: the information structure and what it refers to.
pub(crate) const MULTIBOOT_INFO: u64 = 0x1_1000;
/// The command line.
pub(crate) const COMMAND_LINE: u64 = 0x2_0000;
/// The end of a PC's usable low memory.
pub(crate) const LOW_END: u64 = 0x9_fc00;
/// ACPI's root pointer, in the BIOS area, where guests search for it. The tables follow.
pub(crate) const RSDP: u64 = 0xe_0000;
/// The MP table: in the BIOS area, where guests search for it.
pub(crate) const MP_TABLE: u64 = 0xf_0000;
/// The lowest address for images.
pub(crate) const HIGH_START: u64 = 0x10_0000;
