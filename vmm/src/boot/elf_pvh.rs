//! ELF64 images with a PVH entry note.

use super::elf::{self, Image};
use super::loader::{Loader, Start};
use super::pvh;
use crate::config::MachineConfig;
use crate::error::Result;
use crate::memory::Memory;

/// Loads an ELF64 image, and starts it by the PVH protocol.
pub(crate) struct ElfPvh;

impl Loader for ElfPvh {
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start> {
        let entry = elf::load(Image::of(config), memory)?;
        pvh::write_boot_data(memory, &config.full_command_line())?;
        Ok(Start { registers: pvh::registers(entry), system: pvh::system_registers })
    }
}
