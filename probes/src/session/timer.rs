//! Timers, which count from the machine's start.

use std::time::Duration;

use crate::point;

/// A periodic timer of one vCPU. Missed ticks are counted, but not made up for.
#[derive(Debug)]
pub(super) struct Timer {
    /// In nanoseconds.
    period: u64,
    /// The seed that scatters the ticks of a sampling timer; `None` for an exact timer.
    seed: Option<u64>,
    /// The number of the next tick, counted from 1.
    next: u64,
}

/// A timer that has come due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// How many ticks before this one were missed.
    pub(super) missed: u64,
}

impl Timer {
    pub(super) fn new(timer: point::Timer, vcpu: u32) -> Self {
        let seed = timer.sampling.then(|| u64::from(vcpu));
        Self { period: nanoseconds(timer.period).max(1), seed, next: 1 }
    }

    /// The time of tick number `tick`: the end of the period for an exact timer, a pseudo-random
    /// point inside the period for a sampling timer.
    fn at(&self, tick: u64) -> u64 {
        match self.seed {
            None => self.period.saturating_mul(tick),
            Some(seed) => {
                let start = self.period.saturating_mul(tick.saturating_sub(1));
                start.saturating_add(mix(seed << 48 ^ tick) % self.period)
            }
        }
    }

    /// When the timer ticks next, as time since the machine's start.
    pub(super) fn next(&self) -> Duration {
        Duration::from_nanos(self.at(self.next))
    }

    /// Advances to the first tick after `now`, if a tick is due.
    pub(super) fn advance(&mut self, now: Duration) -> Option<Due> {
        let now = nanoseconds(now);
        let whole = now / self.period;
        // The tick of the period that contains `now` may already have passed.
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

/// A time in nanoseconds, up to 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
