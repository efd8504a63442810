//! The one thing a scheduler needs of a vCPU, with two implementations: KVM's in [`crate::kvm`], and
//! [`crate::scripted`], which plays back a list of exits so that loops are tested without KVM.

use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::guest_debug::GuestDebug;
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

    /// The frequency of its time-stamp counter in kHz.
    fn tsc_khz(&mut self) -> Result<u32>;

    /// Whether it runs, sleeps, or has never been started.
    fn activity(&mut self) -> Result<Activity>;
}

/// What a scheduler needs besides where hooks look at single instructions.
pub trait Debuggable: Cpu {
    /// Replaces what the host wants to see; the default is nothing.
    fn set_debug(&mut self, debug: &GuestDebug) -> Result<()>;

    /// Finishes the access that the latest exit announced, as [`run`](Cpu::run) does, and doesn't
    /// run on: RIP is then where the vCPU goes on. `Some` if something is to be told before: the
    /// instruction's next access, a step that ends with this one, or a kick. `None` also if there
    /// is nothing to finish.
    fn finish_access(&mut self, entry: Entry) -> Result<Option<Exit>>;

    /// Executes the HLT at RIP: the vCPU sleeps behind it. For machines with an in-kernel irqchip,
    /// which wakes it.
    fn halt(&mut self) -> Result<()>;

    /// Executes the STI at RIP, in ring 0. Interrupts still wait for the instruction behind it.
    fn enable_interrupts(&mut self) -> Result<()>;

    /// Whether an interrupt is pending at its local APIC. For machines with an in-kernel irqchip.
    fn has_pending_interrupt(&mut self) -> Result<bool>;

    /// Queues an NMI.
    fn nmi(&mut self) -> Result<()>;

    /// Does the MSR read that the latest exit announced; the guest gets a #GP, and the answer is
    /// `None`, if there is no such register.
    fn read_msr(&mut self, index: u32) -> Result<Option<u64>>;

    /// Does the MSR write that the latest exit announced; the guest gets a #GP if that is refused.
    fn write_msr(&mut self, index: u32, value: u64) -> Result<()>;
}
