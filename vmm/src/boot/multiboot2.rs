//! The Multiboot 2 protocol (Multiboot2 Specification 2.0).

use super::command_line::{self, MAX_COMMAND_LINE};
use super::elf::Image;
use super::headers::multiboot2::{Header, info};
use super::loader::{Loader, Start};
use super::multiboot::{load, memory_sizes, start};
use super::{acpi, initrd, layout, memory_map};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{HOLE_START, Memory};

/// What the guest finds in EAX (3.3).
const LOADED_BY_MULTIBOOT2: u64 = 0x36d7_6289;

/// Loads an ELF image with a Multiboot 2 header.
pub(super) struct Multiboot2;

impl Loader for Multiboot2 {
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start> {
        let image = Image::of(config);
        let refuse = |problem: String| Error::Image { name: image.name.into(), problem };
        let Some(header) = Header::find(image.bytes) else {
            return Err(refuse("no Multiboot 2 header".into()));
        };
        if let Some(lacks) = header.lacks {
            return Err(refuse(format!(
                "its Multiboot 2 header demands {lacks}, which this machine can't give: mark the tag \
                 as optional"
            )));
        }
        let line = command_line::of(config);
        command_line::write(memory, &line, MAX_COMMAND_LINE)?;
        let (entry, end) = load(image, memory, header.at, header.addresses, header.entry)?;
        let initrd = initrd::load(config, memory, end, HOLE_START)?;
        let mut tags = Tags::default();
        tags.add(info::COMMAND_LINE, &[line.as_bytes(), b"\0"].concat());
        tags.add(info::LOADER_NAME, b"jitterbug\0");
        if let Some(module) = initrd {
            let range = [module.start as u32, module.end as u32].map(u32::to_le_bytes).concat();
            tags.add(info::MODULE, &[&range[..], b"\0"].concat());
        }
        let (lower, upper) = memory_sizes(memory);
        tags.add(info::MEMORY, &[lower, upper].map(u32::to_le_bytes).concat());
        tags.add(info::MEMORY_MAP, &map(memory));
        let mut rsdp = [0; acpi::RSDP_SIZE];
        memory.read(layout::RSDP, &mut rsdp)?;
        tags.add(info::ACPI_NEW, &rsdp);
        memory.write(layout::MULTIBOOT_INFO, &tags.finish())?;
        start(memory, entry, LOADED_BY_MULTIBOOT2)
    }
}

/// The memory map: the size and the version of an entry, then the entries (3.6.8).
fn map(memory: &Memory) -> Vec<u8> {
    let mut bytes = [24u32, 0].map(u32::to_le_bytes).concat();
    for entry in memory_map::entries(memory) {
        bytes.extend(entry.start.to_le_bytes());
        bytes.extend(entry.size.to_le_bytes());
        bytes.extend(u64::from(entry.kind).to_le_bytes());
    }
    bytes
}

/// The information structure: tags of a type, a size and a content, each padded to 8 bytes (3.6).
#[derive(Default)]
struct Tags(Vec<u8>);

impl Tags {
    fn add(&mut self, kind: u32, content: &[u8]) {
        let size = 8 + content.len();
        self.0.extend([kind, size as u32].map(u32::to_le_bytes).concat());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add(info::END, &[]);
        let size = 8 + self.0.len() as u32;
        [&[size, 0].map(u32::to_le_bytes).concat()[..], &self.0].concat()
    }
}

#[cfg(test)]
#[path = "multiboot2_tests.rs"]
mod tests;
