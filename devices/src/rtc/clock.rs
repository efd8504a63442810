//! The time of day and the divider: they determine when seconds and periods end.
//!
//! Both are counted from fixed points and not from the last event, so they can't drift.

use super::date::Date;

const SECOND: u64 = 1_000_000_000;
/// The time from the end of a divider reset to the first update. (datasheet, "Divider Control")
const FIRST_UPDATE: u64 = SECOND / 2;
/// UIP is set this long before the time changes: 244 us of warning, and the 1,984 us that an update
/// takes with a crystal of 32,768 Hz. (datasheet, "Update Cycle")
const UPDATING: u64 = 244_000 + 1_984_000;

/// The time, and the state that makes it advance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Clock {
    /// The time before the next update.
    date: Date,
    /// When the next update is, if `date` may advance.
    update: u64,
    /// When the divider was started.
    start: u64,
    /// Whether the divider is running, that is, not held in reset.
    running: bool,
    /// Whether the guest has stopped updates, in order to set the time.
    frozen: bool,
}

impl Clock {
    pub(super) fn new(date: Date) -> Self {
        Self { date, update: SECOND, start: 0, running: true, frozen: false }
    }

    pub(super) fn date(&self, now: u64) -> Date {
        self.date.plus(self.updates(now))
    }

    /// Changes the time; the current second continues unchanged.
    pub(super) fn set_date(&mut self, now: u64, change: impl FnOnce(&mut Date)) {
        self.settle(now);
        change(&mut self.date);
    }

    pub(super) fn freeze(&mut self, frozen: bool, now: u64) {
        self.settle(now);
        self.frozen = frozen;
    }

    /// Starts or stops the divider.
    pub(super) fn run(&mut self, running: bool, now: u64) {
        self.settle(now);
        if running && !self.running {
            self.start = now;
            self.update = now.saturating_add(FIRST_UPDATE);
        }
        self.running = running;
    }

    /// The number of updates up to `now` since the time was set.
    fn updates(&self, now: u64) -> u64 {
        if self.frozen || !self.running { 0 } else { self.seconds(now) }
    }

    /// The number of seconds of the divider that have ended.
    fn seconds(&self, now: u64) -> u64 {
        now.checked_sub(self.update).map_or(0, |late| late / SECOND + 1)
    }

    /// Applies the updates up to `now` to the date.
    fn settle(&mut self, now: u64) {
        self.date = self.date(now);
        if self.running {
            self.update = self.update.saturating_add(self.seconds(now).saturating_mul(SECOND));
        }
    }

    /// The first update after `now`.
    pub(super) fn next_update(&self, now: u64) -> Option<u64> {
        if self.frozen || !self.running {
            return None;
        }
        self.update.checked_add(self.seconds(now).checked_mul(SECOND)?)
    }

    /// Whether the time is about to change.
    pub(super) fn updating(&self, now: u64) -> bool {
        self.next_update(now).is_some_and(|update| update - now <= UPDATING)
    }

    /// The end of the first period of `cycles` of the crystal that ends after `now`.
    pub(super) fn next_period(&self, cycles: u64, now: u64) -> Option<u64> {
        if !self.running {
            return None;
        }
        let since = u128::from(now.saturating_sub(self.start));
        let cycles = u128::from(cycles);
        // A cycle is 1/32,768 s, which is 1,953,125/64 ns.
        let ended = since * 64 / (cycles * 1_953_125);
        let end = ((ended + 1) * cycles * 1_953_125).div_ceil(64);
        u64::try_from(end).ok()?.checked_add(self.start)
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
