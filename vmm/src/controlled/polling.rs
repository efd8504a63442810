//! Waiting for time to pass.
//!
//! A vCPU that reads a clock again and again, and changes nothing meanwhile, waits for time: a delay
//! loop, or a wait with a time-out. After each look at the clock it is passed over for a while, twice as
//! long as after the look before, so a wait takes a number of looks that grows with the logarithm of its
//! length, and overshoots by at most that length. When nobody else can get on, virtual time jumps to the
//! first such vCPU's next look. So a time-out is taken when everybody waits, and never while a vCPU that
//! could prevent it can still run.

use super::ControlledMachine;
use crate::choice::Choice;
use crate::error::Result;

/// So many looks at a clock without a change are a measurement, and no wait.
const MEASURES: u32 = 3;
/// How long a vCPU is passed over after its first look too many, in virtual nanoseconds. Twice as long
/// after each other look.
const FIRST_WAIT: u64 = 1 << 10;
/// The longest that it is passed over: 69 s.
const LAST_WAIT: u64 = 1 << 36;
/// How long the machine may wait without any progress, in virtual nanoseconds, before that is called a
/// hang: a day. Time-outs of kernels are seconds or minutes.
const LONGEST_WAIT: u64 = 24 * 3600 * 1_000_000_000;

/// How long a vCPU is passed over that has looked at a clock so many times without changing anything.
pub(super) fn pause_after(looks: u32) -> u64 {
    match looks.checked_sub(MEASURES + 1) {
        None => 0,
        Some(doublings) => FIRST_WAIT << doublings.min((LAST_WAIT / FIRST_WAIT).ilog2()),
    }
}

impl ControlledMachine {
    /// A vCPU reads a clock.
    pub(super) fn looks_at_clock(&mut self, vcpu: u32) {
        let now = self.platform.now();
        self.vcpus[vcpu as usize].tracker.look_at_clock(now);
    }

    /// When the first vCPU that waits for time looks at the clock again, in virtual nanoseconds. `None` if
    /// none waits.
    pub(super) fn next_look(&self) -> Option<u64> {
        let now = self.platform.now();
        let waiting = self.vcpus.iter().filter(|ctx| ctx.is_ready());
        waiting.map(|ctx| ctx.tracker.looks_again()).filter(|next| *next > now).min()
    }

    /// Lets time pass if nobody gets on otherwise: to the next timer, or to where a vCPU that waits for
    /// time looks again. `None` if something can be done before, or will never be.
    pub(super) fn next_event(&mut self, enabled: &[Choice]) -> Option<u64> {
        let look = self.next_look();
        if enabled.is_empty() {
            let timers = self.platform.next_deadline().into_iter();
            return timers.chain(self.next_release()).chain(look).min();
        }
        // Those that go round without progress may do so as long as they like: it changes nothing.
        look.filter(|_| self.lack_progress(enabled))
    }

    /// Lets time pass to an event. True if nothing has happened in so long a time that the machine is
    /// taken for hung.
    pub(super) fn pass_time(&mut self, next: u64) -> Result<bool> {
        if self.next_look().is_some()
            && self.progress.time_without(self.platform.now()) > LONGEST_WAIT
        {
            return Ok(true);
        }
        let ipi_effects = self.platform.jump(next);
        self.time_has_passed(ipi_effects)?;
        Ok(false)
    }
}

#[cfg(test)]
#[path = "polling_tests.rs"]
mod tests;
