//! ELF images with a PVH entry note.

use super::command_line::{self, MAX_COMMAND_LINE};
use super::elf::{Elf, Image};
use super::loader::{Loader, Start};
use super::{initrd, pvh};
use crate::config::MachineConfig;
use crate::error::Result;
use crate::memory::{HOLE_START, Memory};

/// Loads an ELF image, and starts it by the PVH protocol.
pub(super) struct ElfPvh;

impl Loader for ElfPvh {
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start> {
        let elf = Elf::check(Image::of(config), memory)?;
        let entry = elf.pvh_entry()?;
        command_line::write(memory, &command_line::of(config), MAX_COMMAND_LINE)?;
        let initrd = initrd::load(config, memory, elf.end(), HOLE_START)?;
        elf.load(memory)?;
        pvh::write_boot_data(memory, initrd)?;
        Ok(Start { registers: pvh::registers(entry), system: pvh::system_registers })
    }
}
