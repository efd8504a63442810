//! Runs one probe of a [`Code`] in the context of one vCPU.
//!
//! A firing is bounded in three ways: by steps, which are counted alike on every host; by the
//! processor time of its thread; and by the depth of its stacks. A firing that exceeds a bound, or
//! reads memory that doesn't exist, is cancelled. The script stays loaded, and the other vCPUs are
//! not affected.

mod changes;
mod destructive;
mod effects;
mod event;
mod guest;
mod guest_stack;
mod machine;
mod report;
mod scan;
mod shared;
mod strings;
mod task;
mod values;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vmm::hook::Context;
use vmm::paging;

use crate::aggregate::{Key, Part};
use crate::code::Code;
use crate::ir::Place;
use crate::output::LineBuffer;
use crate::text::Text;

pub use changes::{Changes, MAX_DELAY, MAX_DUMPS};
pub use event::Event;
use machine::{End, Firing};
pub use report::Reported;
pub use shared::{Clock, Settings, Shared};
pub use values::Values;

/// The most that one firing may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Steps. An instruction that takes longer than an addition counts as several steps.
    pub steps: u64,
    /// Processor time of the thread, which excludes waiting for the output. `None` where runs must
    /// be repeated exactly; the number of steps is the same on any host.
    pub time: Option<Duration>,
}

impl Default for Budget {
    /// 100,000 steps and 20 ms.
    fn default() -> Self {
        Self { steps: 100_000, time: Some(Duration::from_millis(20)) }
    }
}

/// The most integers on the stack of a firing.
pub const MAX_STACK: usize = 4096;
/// The most strings on the stack of a firing.
pub const MAX_TEXTS: usize = 256;
/// The most nested calls.
pub const MAX_CALLS: usize = 256;

/// How a firing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The firing ended without an error.
    Completed,
    /// The probe's predicate was 0; this doesn't count as a firing.
    Filtered,
    /// An error occurred; what the firing did before it stays done.
    Cancelled,
    /// The script had already been unloaded.
    Unloaded,
}

/// Why a firing was cancelled.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// `/` or `%` by 0.
    #[error("division by zero")]
    DivisionByZero,
    /// The vCPU's registers can't be read.
    #[error("the vCPU can't be read: {0}")]
    Cpu(#[source] vmm::Error),
    /// The host's own state can't be read.
    #[error("{what} can't be read: {errno}")]
    Host {
        /// The variable that was read.
        what: &'static str,
        /// The system's error.
        errno: nix::errno::Errno,
    },
    /// A guest-virtual address can't be read.
    #[error("guest address {address:#x} can't be read: {fault}")]
    Guest {
        /// The guest-virtual address.
        address: u64,
        /// Why it can't be read.
        #[source]
        fault: paging::Fault,
    },
    /// The machine has no RAM at a guest-physical address.
    #[error("guest-physical address {address:#x} can't be read: there is no RAM")]
    Physical {
        /// The guest-physical address.
        address: u64,
    },
    /// There is no register with this number.
    #[error(
        "there is no register number {0}; they are 0 (RAX) to 15 (R15), REG_RIP and REG_RFLAGS"
    )]
    Register(u64),
    /// A scan of the guest's code did not find what the script asked for.
    #[error("the code at {address:#x} doesn't tell: {problem}")]
    Scan {
        /// The address at which the scan began.
        address: u64,
        /// What was not found.
        problem: &'static str,
    },
    /// The task that the vCPU runs can't be told.
    #[error("{what}: {problem}")]
    NoTask {
        /// The function that asked.
        what: &'static str,
        /// Why it can't be told.
        problem: &'static str,
    },
    /// The script used something that belongs to a vCPU in a probe at a `VMX...` point, which
    /// doesn't belong to a vCPU.
    #[error("{0} belongs to a vCPU, and this probe runs in none (non-vcpu vmx threads)")]
    NoVcpu(&'static str),
    /// A destructive action was used after the end of the run.
    #[error("{0}: the run is over, nothing can be changed any more")]
    Over(&'static str),
    /// A destructive action was used with a value that it doesn't accept.
    #[error("{action}: {value:#x} is {problem}")]
    Argument {
        /// The name of the destructive action.
        action: &'static str,
        /// The value.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An assertion of the script failed.
    #[error("an assertion failed")]
    Assertion,
    /// The firing has used up its steps.
    #[error("it took more than {0} steps")]
    Steps(u64),
    /// The probes that fired at the same stop of the vCPU have used up their steps.
    #[error("the probes that fire together took more than {} steps", machine::STEPS_PER_STOP)]
    StepsPerStop,
    /// The firing has used up its processor time.
    #[error("it took longer than {0:?}")]
    Time(Duration),
    /// The stacks are full.
    #[error("it called too deep: more than {MAX_CALLS} calls, or their variables fill the stack")]
    Depth,
}

impl Cause {
    /// A name for the error, for scripts that catch it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DivisionByZero => "DivideByZero",
            Self::Cpu(_) => "BadVcpu",
            Self::Host { .. } => "BadHost",
            Self::Guest { .. } | Self::Physical { .. } => "BadAddress",
            Self::Register(_) => "BadRegister",
            Self::Over(_) => "RunOver",
            Self::Argument { .. } => "BadValue",
            Self::Scan { .. } => "BadCode",
            Self::NoTask { .. } => "NoTask",
            Self::NoVcpu(_) => "NoVcpu",
            Self::Assertion => "Assertion",
            Self::Steps(_) | Self::StepsPerStop | Self::Time(_) | Self::Depth => "Budget",
        }
    }

    /// Whether a script can catch the error. Every error can be caught except for a used-up budget.
    fn can_be_caught(&self) -> bool {
        !matches!(self, Self::Steps(_) | Self::StepsPerStop | Self::Time(_) | Self::Depth)
    }
}

/// A cancelled firing, on its way to [`Engine::fire`].
pub(crate) struct Cancel {
    cause: Box<Cause>,
    /// Where in the script it failed; `None` for the probe as a whole.
    place: Option<Place>,
}

/// The engine of one vCPU: that vCPU's variables and output.
#[derive(Debug)]
pub struct Engine {
    code: Arc<Code>,
    shared: Arc<Shared>,
    state: State,
}

/// The state that a firing changes.
#[derive(Debug)]
pub(crate) struct State {
    integers: Vec<u64>,
    strings: Vec<Text>,
    stack: Vec<u64>,
    /// The string stack; the entries from `text_top` upwards are free.
    texts: Vec<Text>,
    text_top: usize,
    calls: Vec<machine::Call>,
    handlers: Vec<machine::Handler>,
    /// The last error that a script caught.
    fault: Option<Box<Cause>>,
    /// This vCPU's table for each aggregate.
    parts: Vec<Part>,
    key: Key,
    delays: changes::Delays,
    output: LineBuffer,
    /// The buffer in which a printf is formatted; kept to avoid an allocation each time.
    scratch: Vec<u8>,
}

impl Engine {
    /// An engine that prints to `output`.
    pub fn new(code: Arc<Code>, shared: Arc<Shared>, output: LineBuffer) -> Self {
        let state = State {
            integers: code.integers.clone(),
            strings: code.strings.clone(),
            stack: Vec::with_capacity(64),
            texts: Vec::new(),
            text_top: 0,
            calls: Vec::new(),
            handlers: Vec::new(),
            fault: None,
            parts: shared.parts(),
            key: Key::default(),
            delays: changes::Delays::default(),
            output,
            scratch: Vec::new(),
        };
        Self { code, shared, state }
    }

    /// Runs probe number `probe`. `values` holds what has been read of the vCPU since it stopped.
    pub fn fire(
        &mut self,
        probe: usize,
        event: &Event,
        context: &mut Context,
        values: &mut Values,
    ) -> Outcome {
        let Some(body) = self.code.probes.get(probe) else { return Outcome::Unloaded };
        if self.shared.unloaded.load(Ordering::Relaxed) && !body.point.is_unload() {
            return Outcome::Unloaded;
        }
        self.state.output.set_now(context.now);
        let mut firing =
            Firing::new(&self.code, &self.shared, &mut self.state, body, event, context, values);
        match firing.run() {
            Ok(End::Completed) => Outcome::Completed,
            Ok(End::Filtered) => Outcome::Filtered,
            Err(cancel) => {
                if let Some(text) = self.shared.reported.first(&self.code, probe, &cancel) {
                    self.state.output.notice(text);
                }
                Outcome::Cancelled
            }
        }
    }

    /// Prints the last line if it has no newline yet. No probe fires afterwards.
    pub fn finish(&mut self) {
        self.state.output.flush();
    }
}

#[cfg(test)]
mod tests;
