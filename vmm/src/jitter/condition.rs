//! What a vCPU is found in when its time for a delay has come.

use std::time::Duration;

use crate::hook::Context;
use crate::registers::{Activity, Registers};

/// Whether a delay would change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It runs: it can be stopped.
    Busy,
    /// It sleeps, is held, or was never started: stopping it changes nothing.
    Idle,
    /// It has not executed anything since it was last stopped: leave it for this long.
    Stalled(Duration),
}

impl Condition {
    /// A vCPU that is not running, whatever else.
    pub(super) fn is_idle(context: &mut Context) -> bool {
        !context.started || context.held || !matches!(context.cpu.activity(), Ok(Activity::Running))
    }
}

/// Whether the vCPU gets on. On a slow host a kick can come before the first instruction; then it
/// is left alone for longer and longer, or it would never execute anything.
#[derive(Debug, Default)]
pub(super) struct Progress {
    stopped_at: Option<Registers>,
    grace: Duration,
}

impl Progress {
    const SHORTEST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(10);

    /// Compares the vCPU with where it was last stopped.
    pub(super) fn look(&mut self, context: &mut Context) -> Condition {
        let registers = context.cpu.registers().ok();
        let stalled = registers.is_some() && registers == self.stopped_at;
        self.stopped_at = registers;
        if stalled {
            self.grace = (self.grace * 2).clamp(Self::SHORTEST, Self::LONGEST);
            Condition::Stalled(self.grace)
        } else {
            self.grace = Duration::ZERO;
            Condition::Busy
        }
    }
}
