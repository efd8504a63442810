//! Timers, counted from the machine's start.

use std::time::Duration;

use crate::point;

/// A periodic timer of one vCPU. Ticks that were missed are counted, not made up for.
#[derive(Debug)]
pub(super) struct Timer {
    /// Nanoseconds.
    period: u64,
    /// What moves the ticks of a sampling timer about; `None` for one that is exact.
    seed: Option<u64>,
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
    pub(super) fn new(timer: point::Timer, vcpu: u32) -> Self {
        let seed = timer.sampling.then(|| u64::from(vcpu));
        Self { period: nanoseconds(timer.period).max(1), seed, next: 1 }
    }

    /// When tick number `tick` is: an exact one at the end of its period, a sampling one somewhere
    /// inside.
    fn at(&self, tick: u64) -> u64 {
        match self.seed {
            None => self.period.saturating_mul(tick),
            Some(seed) => {
                let start = self.period.saturating_mul(tick.saturating_sub(1));
                start.saturating_add(mix(seed << 48 ^ tick) % self.period)
            }
        }
    }

    /// When it ticks next, as time since the machine started.
    pub(super) fn next(&self) -> Duration {
        Duration::from_nanos(self.at(self.next))
    }

    /// Moves on to the first tick after `now`, if one has come.
    pub(super) fn advance(&mut self, now: Duration) -> Option<Due> {
        let now = nanoseconds(now);
        let whole = now / self.period;
        // The tick in the period that `now` is in may be over already.
        let passed = whole + u64::from(self.at(whole + 1) <= now);
        let missed = passed.checked_sub(self.next)?;
        self.next = passed.saturating_add(1);
        Some(Due { missed })
    }
}

/// Scatters a number (`SplitMix64`: Steele, Lea and Flood, Fast Splittable Pseudorandom Number
/// Generators, 2014).
fn mix(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ b >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ c >> 31
}

/// 584 years fit.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
