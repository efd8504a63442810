//! Linux's 64-bit boot protocol: `boot_params` and the start of the first vCPU (Linux,
//! `Documentation/arch/x86/boot.rst` and `zero-page.rst`).

use std::ops::Range;

use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use vm_memory::GuestAddress;

use super::loader::Start;
use super::{layout, long_mode, memory_map};
use crate::error::{Error, Result};
use crate::memory::Memory;

/// `type_of_loader`: one without a number of its own.
const OTHER_LOADER: u8 = 0xff;
/// `vid_mode`: "normal", for there is no screen.
const NORMAL_VIDEO: u16 = 0xffff;

/// The setup header for a kernel whose image has none.
pub(super) fn plain_header() -> setup_header {
    setup_header { boot_flag: 0xaa55, header: 0x5372_6448, version: 0x020f, ..Default::default() }
}

/// Writes the boot data for a kernel that has been loaded, with its command line and its initrd.
/// Returns how the first vCPU starts.
pub(super) fn start(
    memory: &Memory,
    entry: u64,
    header: setup_header,
    initrd: Option<Range<u64>>,
) -> Result<Start> {
    let initrd = initrd.unwrap_or_default();
    let mut parameters = boot_params {
        acpi_rsdp_addr: layout::RSDP,
        hdr: setup_header {
            type_of_loader: OTHER_LOADER,
            vid_mode: NORMAL_VIDEO,
            cmd_line_ptr: layout::COMMAND_LINE as u32,
            ramdisk_image: initrd.start as u32,
            ramdisk_size: (initrd.end - initrd.start) as u32,
            ..header
        },
        ..Default::default()
    };
    let map = memory_map::entries(memory);
    parameters.e820_entries = map.len() as u8;
    for (entry, range) in parameters.e820_table.iter_mut().zip(map) {
        *entry = boot_e820_entry { addr: range.start, size: range.size, r#type: range.kind };
    }
    let parameters = BootParams::new(&parameters, GuestAddress(layout::BOOT_PARAMS));
    LinuxBootConfigurator::write_bootparams(&parameters, memory.map())
        .map_err(|_| Error::Unbacked { address: layout::BOOT_PARAMS, length: 0x1000 })?;
    long_mode::write(memory)?;
    Ok(Start {
        registers: long_mode::registers(entry, layout::BOOT_PARAMS),
        system: long_mode::system_registers,
    })
}
