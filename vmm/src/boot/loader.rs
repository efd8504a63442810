//! The seam at which kinds of guest images are added.

use crate::config::MachineConfig;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::kvm::KvmCpu;
use crate::memory::Memory;
use crate::registers::{Registers, SystemRegisters};

/// Loads one kind of guest image, and starts it by one boot protocol.
pub(crate) trait Loader {
    /// Loads the image and the boot data of its protocol. Returns how the first vCPU starts. Fails
    /// before anything is loaded if the image isn't of this kind, or doesn't fit.
    fn load(&self, config: &MachineConfig, memory: &Memory) -> Result<Start>;
}

/// The state in which the first vCPU executes the guest's first instruction.
pub(crate) struct Start {
    pub(crate) registers: Registers,
    /// Makes the system registers from those after reset.
    pub(crate) system: fn(&SystemRegisters) -> SystemRegisters,
}

impl Start {
    /// Puts a vCPU in its reset state there.
    pub(crate) fn enter(&self, cpu: &mut KvmCpu) -> Result<()> {
        let reset = cpu.system_registers()?;
        cpu.set_system_registers(&(self.system)(&reset))?;
        cpu.set_registers(&self.registers)
    }
}
