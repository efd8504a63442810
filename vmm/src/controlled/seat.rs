//! One vCPU of a controlled machine.

use super::waiting::Trail;
use crate::exit::Exit;
use crate::kvm::KvmCpu;
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

/// A vCPU and what is known of it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) cpu: KvmCpu,
    pub(super) state: State,
    pub(super) trail: Trail,
    /// Whether the vCPU single-steps now: KVM is told only when it changes.
    pub(super) stepping: bool,
    /// The state after reset, for INIT.
    pub(super) reset: (Registers, SystemRegisters),
}

impl Seat {
    /// Whether it can run on by itself.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Access(_))
    }

    /// Something that it waits for may have changed: it may look again.
    pub(super) fn wake(&mut self) {
        self.trail.clear();
        if let State::Waiting(exit) = &self.state {
            self.state = State::Access(exit.clone());
        }
    }
}
