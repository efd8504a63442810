//! One vCPU of a controlled machine.

use super::check::Stored;
use super::endless::Reads;
use super::single::ShadowState;
use super::waiting::ProgressTracker;
use crate::breakpoints::Breakpoints;
use crate::error::Result;
use crate::exit::Exit;
use crate::guest_debug::GuestDebug;
use crate::identity::CpuidEntry;
use crate::kvm::KvmCpu;
use crate::registers::{Registers, SystemRegisters};
use crate::trapped::TableRegisters;

/// What a vCPU is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// An AP before its INIT and SIPI.
    WaitForSipi,
    /// Stands before its first instruction, or where it could take an interrupt.
    Ready,
    /// Stands before this access, which has not happened yet.
    Access(Exit),
    /// As [`State::Access`], and would only read again what has not changed.
    Waiting(Exit),
    /// Has come round, and would only do the same again (instruction granularity).
    Spinning,
    /// Goes round an endless loop without a scheduling point, and reads these private bytes.
    Endless(Reads),
    /// Sleeps in HLT.
    Halted,
}

impl State {
    /// Whether it would only do again what it has done.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Spinning)
    }
}

/// A vCPU that was put back stands before the instruction whose access it stands before: it has to
/// execute it once more, up to the exit, before the access is performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reexecution {
    /// An NMI is pending. It must not come before the access.
    pub(super) nmi: bool,
}

/// A vCPU and what is known of it.
#[derive(Debug)]
pub(super) struct VcpuContext {
    pub(super) cpu: KvmCpu,
    pub(super) state: State,
    pub(super) tracker: ProgressTracker,
    /// Single steps, and where hooks want to be called.
    pub(super) breakpoints: Breakpoints,
    /// Whether an NMI has been queued since it last ran.
    pub(super) nmi: bool,
    /// Whether the vCPU single-steps now (instruction granularity).
    pub(super) stepping: bool,
    /// Interrupts are held back while it steps (instruction granularity).
    pub(super) blocks_interrupts: bool,
    /// The next entry ends after one instruction (instruction granularity).
    pub(super) armed: bool,
    /// It stands where it could take an interrupt (instruction granularity).
    pub(super) interruptible: bool,
    /// What CPUID tells it.
    pub(super) leaves: Vec<CpuidEntry>,
    /// What is kept of it outside the processor (instruction granularity).
    pub(super) shadow: ShadowState,
    /// Set after the vCPU was put back: it has yet to run into its access.
    pub(super) reexecution: Option<Reexecution>,
    /// Whether it has run, or was reset, since it was last saved or put back.
    pub(super) dirty: bool,
    /// Whether it has done something since that changes more than the registers in the run page:
    /// it wrote an MSR, or came to an end from which hosts reset a vCPU.
    pub(super) extended_dirty: bool,
    /// A hook keeps it from running until this virtual time, in nanoseconds.
    pub(super) held_until: u64,
    /// Where its tables are, once it is known that they may be there.
    pub(super) tables: Option<TableRegisters>,
    /// The watched store that it did last, until it runs on.
    pub(super) stored: Option<Stored>,
    /// Its loop came round but could not be proven to repeat: how much progress the machine had made.
    /// Without more, it is not taken for waiting again.
    pub(super) unproven: Option<u64>,
    /// The state after reset, for INIT.
    pub(super) reset: (Registers, SystemRegisters),
}

impl VcpuContext {
    /// Whether it can run on by itself.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Access(_))
    }

    /// It is put somewhere else, or looked at: KVM is asked for no stops until it runs again.
    /// `told`: the breakpoint that it has told of there.
    pub(super) fn disarm(&mut self, told: Option<u64>) -> Result<()> {
        self.breakpoints.put(&mut self.cpu, told)?;
        if self.stepping {
            self.tell_kvm(false)?;
        }
        Ok(())
    }

    /// Makes the next entry end after one instruction, whatever has happened since the last.
    pub(super) fn arm(&mut self) -> Result<()> {
        if !self.armed {
            self.tell_kvm(true)?;
            self.armed = true;
        }
        Ok(())
    }

    /// KVM remembers where the vCPU is when it is told.
    fn tell_kvm(&mut self, step: bool) -> Result<()> {
        let block_interrupts = step && self.blocks_interrupts;
        self.cpu.set_debug(&GuestDebug { step, block_interrupts, ..Default::default() })?;
        (self.stepping, self.armed) = (step, false);
        Ok(())
    }

    /// Something that it waits for may have changed: it may look again.
    pub(super) fn wake(&mut self) {
        self.tracker.clear();
        match &self.state {
            State::Waiting(exit) => self.state = State::Access(exit.clone()),
            State::Spinning | State::Endless(_) => self.state = State::Ready,
            _ => {}
        }
    }
}
