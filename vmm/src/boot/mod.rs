//! Boots a guest: everything up to its first instruction.
//!
//! * [`kind`]: recognises the kind of an image by its `headers`; the kind decides the protocol;
//! * `loader`: the trait of what loads a kind of image. The implementations:
//!   * `elf_pvh`: ELF images with a PVH entry point, which `notes` finds; [`pvh`] is the protocol;
//!   * `bzimage` and `elf_64`: `linux` is the protocol, `long_mode` the state of the vCPU;
//!   * `multiboot` and `multiboot2`;
//! * [`elf`]: checks an ELF image and loads it into memory;
//! * `code_pages`: the pages of an image that hold only code;
//! * [`segments`]: the guest-physical addresses of an image's segments;
//! * `layout`, `flat`, `memory_map`, `command_line`, `initrd`: what the protocols have in common;
//! * [`mptable`] and `acpi`: the tables in which a guest finds its processors and devices.

mod acpi;
mod bzimage;
mod code_pages;
mod command_line;
pub mod elf;
mod elf_64;
mod elf_pvh;
mod flat;
mod headers;
mod initrd;
pub mod kind;
pub(crate) mod layout;
mod linux;
mod loader;
mod long_mode;
mod memory_map;
pub mod mptable;
mod multiboot;
mod multiboot2;
mod notes;
pub mod pvh;
mod reset_vector;
pub mod segments;

use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::virtio_slots::slots;

pub(crate) use code_pages::code_pages;
use kind::ImageKind;
use loader::Loader;
pub(crate) use loader::Start;

/// Loads the guest and its boot data into memory, for either scheduler. Returns how the first vCPU
/// starts.
pub(crate) fn load(config: &MachineConfig, memory: &Memory) -> Result<Start> {
    let loader: &dyn Loader = match ImageKind::of(&config.guest.bytes) {
        Some(ImageKind::Pvh) => &elf_pvh::ElfPvh,
        Some(ImageKind::Multiboot2) => &multiboot2::Multiboot2,
        Some(ImageKind::Multiboot) => &multiboot::Multiboot,
        Some(ImageKind::Elf) => &elf_64::Elf64,
        Some(ImageKind::BzImage) => &bzimage::BzImage,
        None => return Err(unknown(config)),
    };
    let vcpus = config.cpus.get();
    mptable::write(memory, vcpus)?;
    acpi::write(memory, vcpus, &slots(config))?;
    reset_vector::write(memory)?;
    loader.load(config, memory)
}

/// Loads the guest and its boot data into memory. Returns the guest-physical address of its first
/// instruction.
pub fn entry_point(config: &MachineConfig, memory: &Memory) -> Result<u64> {
    load(config, memory).map(|start| start.registers.rip)
}

/// The error for a file of no kind that boots here, with what to give instead.
fn unknown(config: &MachineConfig) -> Error {
    let bytes = &config.guest.bytes;
    let packers: [&[u8]; 5] =
        [b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh", b"\x04\x22\x4d\x18"];
    let problem = if packers.iter().any(|magic| bytes.starts_with(magic)) {
        "a compressed file: unpack it, and give the kernel that is inside"
    } else if kind::has_multiboot_header(bytes) {
        "it has a Multiboot header without load addresses, and is no ELF file, which would have them"
    } else {
        "not a kernel that boots here: neither an ELF file, nor a bzImage, nor a Multiboot image"
    };
    Error::Image { name: config.guest.name.clone(), problem: problem.into() }
}
