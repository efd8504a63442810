//! ELF64 images that are started at their entry point in 64-bit mode, with Linux's boot data: a
//! vmlinux without a PVH note, and kernels that follow the same protocol.

use super::elf::{Elf, Image, is_32_bit, is_program};
use super::loader::{Loader, Start};
use super::{command_line, initrd, linux};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{HOLE_START, Memory};

/// Loads an ELF64 image, and starts it by Linux's 64-bit protocol.
pub(super) struct Elf64;

impl Loader for Elf64 {
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start> {
        let image = Image::of(config);
        let refuse = |problem: String| Error::Image { name: image.name.into(), problem };
        if is_32_bit(image.bytes) {
            return Err(refuse(
                "a 32-bit ELF file with neither a PVH entry note nor a Multiboot header: give a \
                 kernel with one of them, or an ELF64 one"
                    .into(),
            ));
        }
        if is_program(image.bytes) {
            return Err(refuse("a program of an operating system: give a kernel".into()));
        }
        let elf = Elf::check(image, memory)?;
        let entry = elf.entry();
        if !elf.covers(entry) {
            return Err(refuse(format!(
                "no PVH entry note (Xen, type 18) and no Multiboot header, and its entry point \
                 {entry:#x} is no guest-physical address of a segment, at which it could be started \
                 in 64-bit mode: build the kernel with such a note (Linux: CONFIG_PVH=y)"
            )));
        }
        command_line::write(memory, &command_line::of(config), command_line::MAX_COMMAND_LINE)?;
        let initrd = initrd::load(config, memory, elf.end(), HOLE_START)?;
        elf.load(memory)?;
        linux::start(memory, entry, linux::plain_header(), initrd)
    }
}
