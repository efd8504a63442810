//! One vCPU of a controlled machine.

use super::check::{Stored, TableRegisters};
use super::waiting::Trail;
use crate::error::Result;
use crate::exit::Exit;
use crate::kvm::KvmCpu;
use crate::kvm::debug::GuestDebug;
use crate::registers::{Registers, SystemRegisters};

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
    /// Sleeps in HLT.
    Halted,
}

/// A vCPU that was put back stands before the instruction whose access it stands before: it has to
/// execute it once more, up to the exit, before the access is performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// An NMI is pending. It must not come before the access.
    pub(super) nmi: bool,
}

/// A vCPU and what is known of it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) cpu: KvmCpu,
    pub(super) state: State,
    pub(super) trail: Trail,
    /// Whether the vCPU single-steps now: KVM is told only when it changes.
    pub(super) stepping: bool,
    /// Set after the vCPU was put back: it has yet to run into its access.
    pub(super) reach: Option<Reach>,
    /// Whether it has run, or was reset, since it was last saved or put back.
    pub(super) touched: bool,
    /// Whether it has done something since that changes more than the registers in the run page:
    /// it wrote an MSR, or came to an end from which hosts reset a vCPU.
    pub(super) deep: bool,
    /// A hook keeps it from running until this virtual time, in nanoseconds.
    pub(super) held_until: u64,
    /// Where its tables are, once it is known that they may be there.
    pub(super) tables: Option<TableRegisters>,
    /// The watched store that it did last, until it runs on.
    pub(super) stored: Option<Stored>,
    /// The state after reset, for INIT.
    pub(super) reset: (Registers, SystemRegisters),
}

impl Seat {
    /// Whether it can run on by itself.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Access(_))
    }

    /// Turns single steps on or off. An access that is not yet finished ends with a step, too: KVM
    /// emulates it, and then forgets that it steps (it keeps TF only where it was asked to step
    /// from). So it is asked each time.
    pub(super) fn set_stepping(&mut self, wanted: bool) -> Result<()> {
        if wanted || self.stepping {
            self.cpu.set_debug(&GuestDebug { step: wanted, ..Default::default() })?;
            self.stepping = wanted;
        }
        Ok(())
    }

    /// Something that it waits for may have changed: it may look again.
    pub(super) fn wake(&mut self) {
        self.trail.clear();
        if let State::Waiting(exit) = &self.state {
            self.state = State::Access(exit.clone());
        }
    }
}
