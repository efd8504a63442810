//! What a debugger wants of a run's vCPUs, and what it is to be told of them: shared by the
//! debugger's thread (`debugger`) and those of the vCPUs (`debug_stops`).
//!
//! The debugger changes what it wants while the vCPUs stand still, and each vCPU's thread takes it
//! over before it enters the guest. A vCPU that comes to a breakpoint stops the others, and its
//! stop waits in a queue: several vCPUs may stop at once, and a debugger is told of one stop at a
//! time.

mod means;
mod wants;

pub(super) use means::Means;
pub use means::Refused;
pub(super) use wants::Wants;

use crate::end::End;
use crate::guest_debug::Breakpoint;

/// Why a vCPU stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is before the instruction at this linear address, which has a breakpoint.
    Breakpoint(u64),
    /// It has executed an instruction that touched this watched data.
    Watchpoint(Breakpoint),
    /// It has made its step.
    Step,
    /// It makes no step: it sleeps in HLT and waits for an interrupt, or was never started.
    Asleep,
    /// It makes no step: its instruction calls a handler in which this host can't stop a step.
    Raises {
        /// The vector.
        vector: u8,
        /// The handler's linear address; `None` if there is none in 64-bit mode.
        handler: Option<u64>,
    },
}

impl Why {
    /// Whether this is the end of a step, made or not.
    fn ends_step(&self) -> bool {
        matches!(self, Self::Step | Self::Asleep | Self::Raises { .. })
    }
}

/// What has happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A vCPU has stopped, and all others with it.
    Stopped {
        /// The vCPU.
        vcpu: u32,
        /// The reason.
        why: Why,
    },
    /// The run has ended; `None` because of an error.
    Ended(Option<End>),
}

/// The debugger's breakpoints and watchpoints, as a vCPU's thread last saw them.
#[derive(Default)]
pub(super) struct View {
    pub(super) changes: u64,
    pub(super) breakpoints: Vec<u64>,
    pub(super) watchpoints: Vec<Breakpoint>,
}

#[cfg(test)]
#[path = "debugging_tests.rs"]
mod tests;
