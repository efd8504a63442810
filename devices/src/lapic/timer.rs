//! The timer (SDM vol. 3, 11.5.4): it counts the divided bus clock down, once or periodically.
//!
//! Nothing counts here: only the time of the next zero is stored, and the current count is derived
//! from it. So a running timer changes no state until it expires, and periods are added, not
//! measured: they can't drift.

/// The frequency of the clock that the divider divides. One cycle is one nanosecond of virtual
/// time.
pub const BUS_HZ: u32 = 1_000_000_000;

/// The minimum time between two interrupts of a periodic timer, in nanoseconds. With less, the
/// processor would have no time for anything but its interrupt; KVM has the same limit
/// (`min_timer_period_us`).
const MIN_PAUSE: u64 = 200_000;

/// Counts from `initial` to zero, one step every `divisor` nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Timer {
    initial: u32,
    /// The divide configuration register: bits 3, 1 and 0.
    divide: u32,
    /// When the count is next zero; `None` if the timer is stopped.
    zero: Option<u64>,
}

impl Timer {
    pub(super) fn initial(&self) -> u32 {
        self.initial
    }

    pub(super) fn divide(&self) -> u32 {
        self.divide
    }

    /// When the timer expires next.
    pub(super) fn zero(&self) -> Option<u64> {
        self.zero
    }

    /// Starts the timer from `initial`; 0 stops it.
    pub(super) fn start(&mut self, initial: u32, now: u64) {
        self.initial = initial;
        // A time beyond the end of the clock is never reached.
        self.zero = if initial == 0 { None } else { now.checked_add(self.period()) };
    }

    /// Changes the divider. The manual doesn't say what happens to a running count: here, as in
    /// KVM, it continues from its current value at the new speed.
    pub(super) fn set_divide(&mut self, value: u32, periodic: bool, now: u64) {
        let left = u64::from(self.count(periodic, now));
        self.divide = value & 0b1011;
        if self.zero.is_some() {
            self.zero = now.checked_add(left * self.divisor());
        }
    }

    /// The current count.
    pub(super) fn count(&self, periodic: bool, now: u64) -> u32 {
        let Some(zero) = self.zero else { return 0 };
        let left = match zero.checked_sub(now) {
            Some(0) | None if !periodic => 0,
            Some(left) if left > 0 => (left - 1) % self.period() + 1,
            _ => self.period() - (now - zero) % self.period(),
        };
        left.div_ceil(self.divisor()).min(u64::from(self.initial)) as u32
    }

    /// Whether the timer expired up to `now`. Several expiries of a periodic timer that were not
    /// taken in time count as one.
    pub(super) fn expire(&mut self, periodic: bool, now: u64) -> bool {
        let Some(zero) = self.zero.filter(|zero| *zero <= now) else { return false };
        self.zero = if periodic {
            let behind = (now - zero) / self.period();
            // `behind * period` is at most `now`; one more period may be beyond the end of the
            // clock.
            (zero + behind * self.period()).checked_add(self.period())
        } else {
            None
        };
        true
    }

    /// Called when the timer has just interrupted: expiries that follow too soon are merged with
    /// this one. The period stays in step.
    pub(super) fn pause(&mut self) {
        let more = MIN_PAUSE.div_ceil(self.period()) - 1;
        self.zero = self.zero.and_then(|zero| zero.checked_add(more * self.period()));
    }

    /// The nanoseconds from start to zero; not 0 while the timer runs.
    fn period(&self) -> u64 {
        u64::from(self.initial) * self.divisor()
    }

    /// Bits 3, 1 and 0 form a number: 0 divides by 2, 1 by 4, ... 6 by 128, and 7 by 1.
    fn divisor(&self) -> u64 {
        let code = (self.divide & 0b11) | (self.divide & 0b1000) >> 1;
        1 << ((code + 1) & 7)
    }
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
