//! The condition of a vCPU when a delay is due.

use std::time::Duration;

use crate::hook::Context;
use crate::registers::{Activity, Registers};

/// Whether a delay would have an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The vCPU runs, so a delay has an effect.
    Busy,
    /// It sleeps, is held, or was never started, so a delay has no effect.
    Idle,
    /// It has not executed anything since it was last stopped: the next delay must wait for this
    /// long.
    Stalled(Duration),
}

impl Condition {
    /// Whether the vCPU is not running, for any reason.
    pub(super) fn is_idle(context: &mut Context) -> bool {
        !context.started || context.held || !matches!(context.cpu.activity(), Ok(Activity::Running))
    }
}

/// Detects whether the vCPU makes progress. On a slow host a kick can arrive before the first
/// instruction; the vCPU is then left alone for increasing times, or it would never execute
/// anything.
#[derive(Debug, Default)]
pub(super) struct Progress {
    stopped_at: Option<Registers>,
    grace: Duration,
}

impl Progress {
    const SHORTEST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(10);

    /// Compares the vCPU with its state when it was last stopped.
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
