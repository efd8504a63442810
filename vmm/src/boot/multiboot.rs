//! The Multiboot protocol, version 1 (Multiboot Specification 0.6.96).

mod body;

use super::command_line::{self, MAX_COMMAND_LINE};
use super::elf::Image;
use super::headers::multiboot::{ALIGN_MODULES, Header, MEMORY_INFORMATION, VIDEO_MODE};
use super::loader::{Loader, Start};
use super::memory_map::{self, low_ram_end};
use super::{initrd, layout, pvh};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{HOLE_START, Memory};
use crate::registers::Registers;

pub(super) use body::load;

/// The flags that a loader must understand, or refuse the image.
const REQUIRED: u32 = 0xffff;
/// What the guest finds in EAX (3.2).
const LOADED_BY_MULTIBOOT: u64 = 0x2bad_b002;
/// The flags of the information structure (3.3).
mod info {
    pub(super) const MEMORY: u32 = 1;
    pub(super) const COMMAND_LINE: u32 = 1 << 2;
    pub(super) const MODULES: u32 = 1 << 3;
    pub(super) const MEMORY_MAP: u32 = 1 << 6;
    pub(super) const LOADER_NAME: u32 = 1 << 9;
    /// The size of the structure up to the field with the loader's name.
    pub(super) const SIZE: usize = 68;
}

/// Loads an image with a Multiboot header.
pub(super) struct Multiboot;

impl Loader for Multiboot {
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start> {
        let image = Image::of(config);
        let refuse = |problem: String| Error::Image { name: image.name.into(), problem };
        let Some(Header { at, flags, addresses }) = Header::find(image.bytes) else {
            return Err(refuse("no Multiboot header".into()));
        };
        if flags & VIDEO_MODE != 0 {
            tracing::warn!(
                "{}: there is no screen, which its Multiboot header asks for",
                image.name
            );
        }
        let known = ALIGN_MODULES | MEMORY_INFORMATION | VIDEO_MODE;
        if flags & REQUIRED & !known != 0 {
            return Err(refuse(format!(
                "its Multiboot header asks for features that no loader knows (flags {flags:#x})"
            )));
        }
        let line = line(config);
        command_line::write(memory, &line, MAX_COMMAND_LINE)?;
        let entry = addresses.map(|(_, entry)| entry);
        let (entry, end) =
            load(image, memory, at, addresses.map(|(addresses, _)| addresses), entry)?;
        let initrd = initrd::load(config, memory, end, HOLE_START)?;
        let modules: Vec<u8> = initrd
            .iter()
            .flat_map(|range| [range.start as u32, range.end as u32, 0, 0])
            .flat_map(u32::to_le_bytes)
            .collect();
        write_info(memory, &modules)?;
        start(memory, entry, LOADED_BY_MULTIBOOT)
    }
}

/// The command line, with the image's name first, as GRUB Legacy and QEMU pass it.
fn line(config: &MachineConfig) -> String {
    let name = config.guest.name.rsplit('/').next().unwrap_or_default();
    format!("{name} {}", command_line::of(config)).trim_end().to_owned()
}

fn write_info(memory: &Memory, modules: &[u8]) -> Result<()> {
    let entry = |entry: memory_map::Entry| {
        let memory_map::Entry { start, size, kind } = entry;
        // The first field counts the bytes of the others.
        let mut bytes = 20u32.to_le_bytes().to_vec();
        bytes.extend(start.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes
    };
    let map: Vec<u8> = memory_map::entries(memory).into_iter().flat_map(entry).collect();
    let name = b"jitterbug\0";
    let map_at = layout::MULTIBOOT_INFO + info::SIZE as u64;
    let modules_at = map_at + map.len() as u64;
    let name_at = modules_at + modules.len() as u64;
    let flags =
        info::MEMORY | info::COMMAND_LINE | info::MODULES | info::MEMORY_MAP | info::LOADER_NAME;
    let (lower, upper) = memory_sizes(memory);
    let mut words = [0u32; info::SIZE / 4];
    words[..5].copy_from_slice(&[flags, lower, upper, 0, layout::COMMAND_LINE as u32]);
    words[5..7].copy_from_slice(&[modules.len() as u32 / 16, modules_at as u32]);
    words[11..13].copy_from_slice(&[map.len() as u32, map_at as u32]);
    words[16] = name_at as u32;
    let mut bytes = words.map(u32::to_le_bytes).concat();
    bytes.extend(map);
    bytes.extend(modules);
    bytes.extend(name);
    memory.write(layout::MULTIBOOT_INFO, &bytes)
}

/// The sizes in KiB of the memory below 640 KiB and of that above 1 MiB.
pub(super) fn memory_sizes(memory: &Memory) -> (u32, u32) {
    let upper = low_ram_end(memory).saturating_sub(layout::HIGH_START);
    ((layout::LOW_END >> 10) as u32, (upper >> 10) as u32)
}

/// The start of the first vCPU: the state of PVH, with `magic` in EAX and the address of the
/// information in EBX.
pub(super) fn start(memory: &Memory, entry: u64, magic: u64) -> Result<Start> {
    pvh::write_gdt(memory)?;
    let registers = Registers { rax: magic, rbx: layout::MULTIBOOT_INFO, ..pvh::registers(entry) };
    Ok(Start { registers, system: pvh::system_registers })
}

#[cfg(test)]
#[path = "multiboot_tests.rs"]
mod tests;
