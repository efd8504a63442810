//! The interface of a vCPU for the schedulers. It has two implementations: KVM's in [`crate::kvm`],
//! and [`crate::scripted`], which plays back a list of exits so that run loops can be tested
//! without KVM.

use crate::error::Result;
use crate::exit::{Entry, Exit};
use crate::fault::Injection;
use crate::guest_debug::GuestDebug;
use crate::registers::{Activity, DebugRegisters, Registers, SystemRegisters};

/// A virtual processor.
///
/// An access that an [`Exit`] reported is completed by the next [`run`](Cpu::run). Until then, it
/// depends on the host whether RIP is at the instruction or behind it.
pub trait Cpu {
    /// Runs the guest until its next exit. `entry` answers the previous exit.
    fn run(&mut self, entry: Entry) -> Result<Exit>;

    /// Reads the general-purpose registers.
    fn registers(&mut self) -> Result<Registers>;

    /// Replaces the general-purpose registers.
    fn set_registers(&mut self, registers: &Registers) -> Result<()>;

    /// Reads the segment, table and control registers.
    fn system_registers(&mut self) -> Result<SystemRegisters>;

    /// Reads the guest's debug registers.
    fn debug_registers(&mut self) -> Result<DebugRegisters>;

    /// Reads a model-specific register.
    fn msr(&mut self, index: u32) -> Result<u64>;

    /// The frequency of the vCPU's time-stamp counter in kHz.
    fn tsc_khz(&mut self) -> Result<u32>;

    /// Whether the vCPU runs, sleeps, or has never been started.
    fn activity(&mut self) -> Result<Activity>;
}

/// What a scheduler needs in addition when hooks stop at single instructions.
pub trait Debuggable: Cpu {
    /// Sets the debug exceptions that exit to the host; by default there are no such exceptions.
    fn set_debug(&mut self, debug: &GuestDebug) -> Result<()>;

    /// Gives the guest the #BP of its own INT3 at RIP, which exited, on the next
    /// [`run`](Cpu::run). `debug` is the debug state that is set. Registers must not be set in
    /// between.
    fn raise_breakpoint(&mut self, debug: &GuestDebug) -> Result<()>;

    /// Completes the access that the latest exit reported, as [`run`](Cpu::run) does, but does not
    /// run the guest: RIP is then at the instruction where the vCPU continues. `Some` is an exit
    /// that must be handled first: the instruction's next access, a single step that ends with this
    /// one, or a kick. `None` means that there is no such exit, or that there was no access to
    /// complete.
    fn finish_access(&mut self, entry: Entry) -> Result<Option<Exit>>;

    /// Executes the HLT at RIP: the vCPU then sleeps with RIP behind it. For machines with an
    /// in-kernel irqchip, which wakes the vCPU.
    fn halt(&mut self) -> Result<()>;

    /// Executes the STI at RIP, in ring 0. Interrupts stay blocked for one more instruction.
    fn enable_interrupts(&mut self) -> Result<()>;

    /// Whether an interrupt is pending at the vCPU's local APIC. For machines with an in-kernel
    /// irqchip.
    fn has_pending_interrupt(&mut self) -> Result<bool>;

    /// Queues an NMI.
    fn nmi(&mut self) -> Result<()>;

    /// Performs the MSR read that the latest exit reported. If there is no such register, the guest
    /// gets a #GP and the result is `None`.
    fn read_msr(&mut self, index: u32) -> Result<Option<u64>>;

    /// Performs the MSR write that the latest exit reported. If it is refused, the guest gets a
    /// #GP.
    fn write_msr(&mut self, index: u32, value: u64) -> Result<()>;

    /// Answers the access to an MSR that the latest exit reported: a read returns this value, and
    /// for `None` the guest gets a #GP.
    fn answer_msr(&mut self, value: Option<u64>);

    /// Gives the vCPU, the one with this number, what a fault wants it to get. Returns false if it
    /// can't get it now, and then nothing has happened. For machines with an in-kernel irqchip. By
    /// default, it never gets anything.
    fn inject(&mut self, vcpu: u32, injection: Injection) -> Result<bool> {
        let _ = (vcpu, injection);
        Ok(false)
    }
}
