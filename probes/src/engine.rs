//! Runs one probe of a [`Code`] in the context of one vCPU.
//!
//! A firing is bounded three ways: by steps, which count the same everywhere; by the thread's
//! processor time; and by the depth of its stacks. What exceeds a bound, or reads what isn't there,
//! cancels that firing; the script stays loaded, and the other vCPUs don't notice.

mod changes;
mod destructive;
mod effects;
mod event;
mod guest;
mod machine;
mod report;
mod scan;
mod shared;
mod strings;
mod values;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vmm::hook::Context;

use crate::aggregate::{Key, Part};
use crate::code::Code;
use crate::ir::Place;
use crate::output::LineBuffer;
use crate::paging;
use crate::text::Text;

pub use changes::{Changes, MAX_DELAY, MAX_DUMPS};
pub use event::Event;
use machine::{End, Firing};
pub use report::Reported;
pub use shared::{Clock, Settings, Shared};
pub use values::Values;

/// How much a firing may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Steps. What takes longer than an addition counts as several.
    pub steps: u64,
    /// Time of the thread's processor; waiting for the output is none. Where runs must be repeated
    /// exactly there is none: a step is a step on any host.
    pub time: Option<Duration>,
}

impl Default for Budget {
    /// 100,000 steps, 20 ms.
    fn default() -> Self {
        Self { steps: 100_000, time: Some(Duration::from_millis(20)) }
    }
}

/// The most integers on the stack of a firing.
pub const MAX_STACK: usize = 4096;
/// The most strings there.
pub const MAX_TEXTS: usize = 256;
/// The most calls within calls.
pub const MAX_CALLS: usize = 256;

/// How a firing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Completed,
    /// The probe's predicate didn't hold: it was no firing.
    Filtered,
    /// Something went wrong; what was done before stays done.
    Cancelled,
    /// The script was unloaded before.
    Unloaded,
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
    /// The guest has no memory there.
    #[error("guest address {address:#x} can't be read: {fault}")]
    Guest {
        /// Guest-virtual.
        address: u64,
        /// Why not.
        #[source]
        fault: paging::Fault,
    },
    /// The machine has no memory there.
    #[error("guest-physical address {address:#x} can't be read: there is no RAM")]
    Physical {
        /// Guest-physical.
        address: u64,
    },
    /// There is no such register.
    #[error(
        "there is no register number {0}; they are 0 (RAX) to 15 (R15), REG_RIP and REG_RFLAGS"
    )]
    Register(u64),
    /// The guest's code doesn't say what was asked.
    #[error("the code at {address:#x} doesn't tell: {problem}")]
    Scan {
        /// Where the scan began.
        address: u64,
        /// What was not found.
        problem: &'static str,
    },
    /// `VMX...` points don't belong to a vCPU.
    #[error("{0} belongs to a vCPU, and this probe runs in none (non-vcpu vmx threads)")]
    NoVcpu(&'static str),
    /// It was to be done to a guest that has ended.
    #[error("{0}: the run is over, nothing can be changed any more")]
    Over(&'static str),
    /// It was to be done with a value that can't be.
    #[error("{action}: {value:#x} is {problem}")]
    Argument {
        /// What was to be done.
        action: &'static str,
        /// The value.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An assertion of the script failed.
    #[error("an assertion failed")]
    Assertion,
    /// The budget is used up.
    #[error("it took more than {0} steps")]
    Steps(u64),
    /// The time is used up.
    #[error("it took longer than {0:?}")]
    Time(Duration),
    /// The stacks are full.
    #[error("it called too deep: more than {MAX_CALLS} calls, or their variables fill the stack")]
    Depth,
}

impl Cause {
    /// A word for scripts that catch it.
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
            Self::NoVcpu(_) => "NoVcpu",
            Self::Assertion => "Assertion",
            Self::Steps(_) | Self::Time(_) | Self::Depth => "Budget",
        }
    }

    /// Whether a script may go on after it. A used-up budget is used up.
    fn can_be_caught(&self) -> bool {
        !matches!(self, Self::Steps(_) | Self::Time(_) | Self::Depth)
    }
}

/// A cancelled firing on its way out.
pub(crate) struct Cancel {
    cause: Box<Cause>,
    /// `None` stands for the whole probe.
    place: Option<Place>,
}

/// One vCPU's variables and output.
#[derive(Debug)]
pub struct Engine {
    code: Arc<Code>,
    shared: Arc<Shared>,
    state: State,
}

/// What a firing changes.
#[derive(Debug)]
pub(crate) struct State {
    integers: Vec<u64>,
    strings: Vec<Text>,
    stack: Vec<u64>,
    /// Strings; those at `text_top` and above are free.
    texts: Vec<Text>,
    text_top: usize,
    calls: Vec<machine::Call>,
    handlers: Vec<machine::Handler>,
    /// What went wrong last.
    fault: Option<Box<Cause>>,
    /// This vCPU's table of each aggregate.
    parts: Vec<Part>,
    key: Key,
    delays: changes::Delays,
    output: LineBuffer,
    /// Where a printf is put together; kept so that it need not be allocated each time.
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

    /// Runs probe number `probe`. `values` are what was read of the vCPU since it stopped.
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

    /// Prints what has no newline yet. Nothing fires any more.
    pub fn finish(&mut self) {
        self.state.output.flush();
    }
}

#[cfg(test)]
mod tests;
