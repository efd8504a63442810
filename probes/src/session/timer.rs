//! Timers at whole multiples of their period, counted from the machine's start.

use std::time::Duration;

/// A periodic timer of one vCPU. Ticks that were missed are counted, not made up for.
#[derive(Debug)]
pub(super) struct Timer {
    period: u64,
    /// The number of the tick that comes next, from 1.
    next: u64,
}

/// A timer has come due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// How many ticks before this one were never seen.
    pub(super) missed: u64,
}

impl Timer {
    pub(super) fn new(period: Duration) -> Self {
        Self { period: nanoseconds(period).max(1), next: 1 }
    }

    /// When it ticks next, as time since the machine started.
    pub(super) fn next(&self) -> Duration {
        Duration::from_nanos(self.period.saturating_mul(self.next))
    }

    /// Moves on to the first tick after `now`, if one has come.
    pub(super) fn advance(&mut self, now: Duration) -> Option<Due> {
        let passed = nanoseconds(now) / self.period;
        let missed = passed.checked_sub(self.next)?;
        self.next = passed.saturating_add(1);
        Some(Due { missed })
    }
}

/// 584 years fit.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
