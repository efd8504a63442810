//! bzImage: Linux's compressed kernel, started in 64-bit mode (Linux,
//! `Documentation/arch/x86/boot.rst`).

use linux_loader::loader::bootparam::setup_header;

use super::elf::Image;
use super::headers::bzimage::SetupHeader;
use super::loader::{Loader, Start};
use super::memory_map::{advice, low_ram_end};
use super::{command_line, initrd, layout, linux};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// The first version of the protocol with a 64-bit entry point.
const VERSION_WITH_64_BIT: u16 = 0x020c;
/// `xloadflags`: the kernel has the 64-bit entry point.
const XLF_KERNEL_64: u16 = 1;
/// `loadflags`: the kernel is loaded above 1 MiB.
const LOADED_HIGH: u8 = 1;
/// The distance of the 64-bit entry point from where the kernel is loaded.
const ENTRY_64: u64 = 0x200;

/// Loads a bzImage, and starts it at its 64-bit entry point. The kernel unpacks itself.
pub(super) struct BzImage;

impl Loader for BzImage {
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start> {
        let image = Image::of(config);
        let (header, kernel) =
            check(image).map_err(|problem| Error::Image { name: image.name.into(), problem })?;
        let (load, preferred, init_size) =
            (u64::from(header.code32_start), header.pref_address, u64::from(header.init_size));
        // Where the kernel unpacks itself to, and works until it knows its memory.
        let end = load.max(preferred).saturating_add(init_size.max(kernel.len() as u64));
        if end > low_ram_end(memory) {
            let problem = format!(
                "the kernel needs the memory up to {end:#x} to start, and it ends at {:#x}: {}",
                low_ram_end(memory),
                advice(end)
            );
            return Err(Error::Image { name: image.name.into(), problem });
        }
        let line = command_line::of(config);
        command_line::write(memory, &line, header.cmdline_size as usize + 1)?;
        let below = u64::from(header.initrd_addr_max) + 1;
        let initrd = initrd::load(config, memory, end, below)?;
        memory.write(load, kernel)?;
        linux::start(memory, load + ENTRY_64, header, initrd)
    }
}

/// The header of an image that can be loaded, and its kernel behind the setup code.
fn check(image: Image<'_>) -> Result<(setup_header, &[u8]), String> {
    let Some(header) = SetupHeader::read(image.bytes) else {
        return Err("not a bzImage".into());
    };
    let (version, flags) = (header.0.version, header.0.xloadflags);
    if version < VERSION_WITH_64_BIT || flags & XLF_KERNEL_64 == 0 {
        return Err(format!(
            "a bzImage without a 64-bit entry point (boot protocol {}.{:02}, 32-bit code): give an \
             x86-64 kernel, Linux 3.8 or later",
            version >> 8,
            version & 0xff
        ));
    }
    let load = u64::from(header.0.code32_start);
    if header.0.loadflags & LOADED_HIGH == 0 || load < layout::HIGH_START {
        return Err(format!(
            "a kernel that has to be loaded below 1 MiB, where the boot data is (loadflags {:#x}, \
             code32_start {load:#x}): give a bzImage",
            header.0.loadflags
        ));
    }
    let kernel = image.bytes.get(header.kernel_offset()..).unwrap_or_default();
    // The header counts in units of 16 bytes, the last of which may be incomplete.
    let size = (header.0.syssize as usize).saturating_mul(16);
    if kernel.is_empty() || kernel.len() + 15 < size {
        return Err(format!(
            "truncated: its kernel has {} bytes of {size}; copy the file again",
            kernel.len()
        ));
    }
    Ok((header.0, kernel))
}

#[cfg(test)]
#[path = "bzimage_tests.rs"]
pub(super) mod tests;
