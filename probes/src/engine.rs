//! Runs one probe of a [`Program`] in the context of one vCPU.
//!
//! A firing is bounded: the languages have no unbounded loops, and every step is counted all the
//! same. What goes wrong in a firing cancels that firing; the script stays loaded.

mod evaluate;
mod report;
mod values;

use std::sync::Arc;

use vmm::hook::Context;

use crate::ir::{Place, Program};
use crate::output::{LineBuffer, Sink};
use crate::text::Text;

use evaluate::Firing;
pub use report::Reported;
pub use values::Values;

/// How many steps a firing may take if nobody says otherwise.
pub const DEFAULT_STEPS: u64 = 100_000;

/// How a firing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Completed,
    /// Something went wrong; what was done before stays done.
    Cancelled,
}

/// Why a firing was cancelled.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// `/` or `%` by 0.
    #[error("division by zero")]
    DivisionByZero,
    /// The vCPU's registers can't be had.
    #[error("the vCPU can't be read: {0}")]
    Cpu(#[source] vmm::Error),
    /// The host's own state can't be had.
    #[error("{what} can't be read: {errno}")]
    Host {
        /// The variable.
        what: &'static str,
        /// The system's error.
        errno: nix::errno::Errno,
    },
    /// The budget is used up.
    #[error("it took more than {0} steps")]
    Steps(u64),
}

/// A cancelled firing on its way out.
pub(crate) struct Cancel {
    cause: Cause,
    /// `None` stands for the whole probe.
    place: Option<Place>,
}

/// One vCPU's variables and output.
#[derive(Debug)]
pub struct Engine {
    program: Arc<Program>,
    state: State,
    steps: u64,
    reported: Arc<Reported>,
}

/// What a firing changes.
#[derive(Debug)]
pub(crate) struct State {
    integers: Vec<u64>,
    strings: Vec<Text>,
    output: LineBuffer,
    /// Where a printf is put together; kept so that it need not be allocated each time.
    scratch: Vec<u8>,
}

impl Engine {
    /// The engine of vCPU `vcpu`. A firing may take `steps` steps; `reported` is what all vCPUs
    /// have complained about.
    pub fn new(
        program: Arc<Program>,
        vcpu: u32,
        sink: Sink,
        steps: u64,
        reported: Arc<Reported>,
    ) -> Self {
        let state = State {
            integers: program.integers.clone(),
            strings: program.strings.clone(),
            output: LineBuffer::new(vcpu, sink),
            scratch: Vec::new(),
        };
        Self { program, state, steps, reported }
    }

    /// Runs probe number `probe`. `values` are what was read of the vCPU since it stopped.
    pub fn fire(&mut self, probe: usize, context: &mut Context, values: &mut Values) -> Outcome {
        let Some(body) = self.program.probes.get(probe) else { return Outcome::Cancelled };
        let mut firing = Firing {
            point: body.point,
            state: &mut self.state,
            context,
            values,
            steps: self.steps,
            budget: self.steps,
        };
        match firing.statements(&body.body) {
            Ok(()) => Outcome::Completed,
            Err(cancel) => {
                if let Some(text) = self.reported.first(&self.program, probe, &cancel) {
                    self.state.output.notice(text);
                }
                Outcome::Cancelled
            }
        }
    }

    /// Prints what has no newline yet. Nothing fires any more.
    pub fn finish(&mut self) {
        self.state.output.flush();
    }
}

#[cfg(test)]
mod tests;
