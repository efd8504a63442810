//! A vCPU as hooks see it: with virtual time.

use super::emulate::MSR_TSC;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::registers::{Activity, DebugRegisters, Registers, SystemRegisters};

/// A vCPU whose time-stamp counter is virtual time. KVM's counter is the host's: what a hook does
/// with it would differ in each replay.
pub(super) struct WithVirtualTsc<'a> {
    pub(super) cpu: &'a mut dyn Cpu,
    /// The counter's value now.
    pub(super) tsc: u64,
}

impl Cpu for WithVirtualTsc<'_> {
    fn run(&mut self, entry: Entry) -> Result<Exit> {
        self.cpu.run(entry)
    }

    fn registers(&mut self) -> Result<Registers> {
        self.cpu.registers()
    }

    fn set_registers(&mut self, registers: &Registers) -> Result<()> {
        self.cpu.set_registers(registers)
    }

    fn system_registers(&mut self) -> Result<SystemRegisters> {
        self.cpu.system_registers()
    }

    fn debug_registers(&mut self) -> Result<DebugRegisters> {
        self.cpu.debug_registers()
    }

    fn msr(&mut self, index: u32) -> Result<u64> {
        if index == MSR_TSC { Ok(self.tsc) } else { self.cpu.msr(index) }
    }

    fn tsc_khz(&mut self) -> Result<u32> {
        self.cpu.tsc_khz()
    }

    fn activity(&mut self) -> Result<Activity> {
        self.cpu.activity()
    }
}
