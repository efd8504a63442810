//! The one thing a driver needs of a vCPU, with two implementations: KVM's in [`crate::kvm`], and
//! [`crate::scripted`], which plays back a list of exits so that loops are tested without KVM.

use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::registers::{Activity, DebugRegisters, Registers, SystemRegisters};

/// A virtual processor.
///
/// An access that an [`Exit`] announced is completed by the next [`run`](Cpu::run). Until then RIP
/// may be at or behind the instruction, depending on the host.
pub trait Cpu {
    /// Runs the guest until its next exit. `entry` answers the previous one.
    fn run(&mut self, entry: Entry) -> Result<Exit>;

    /// The general registers.
    fn registers(&mut self) -> Result<Registers>;

    /// Replaces the general registers.
    fn set_registers(&mut self, registers: &Registers) -> Result<()>;

    /// Segments, tables and control registers.
    fn system_registers(&mut self) -> Result<SystemRegisters>;

    /// The guest's debug registers.
    fn debug_registers(&mut self) -> Result<DebugRegisters>;

    /// A model-specific register.
    fn msr(&mut self, index: u32) -> Result<u64>;

    /// Whether it runs, sleeps, or has never been started.
    fn activity(&mut self) -> Result<Activity>;
}
