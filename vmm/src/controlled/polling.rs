//! Recognises vCPUs that wait for time to pass.
//!
//! A vCPU that reads a clock repeatedly, and changes nothing meanwhile, waits for time: in a delay
//! loop, or in a wait with a time-out. After each read of the clock such a vCPU is not scheduled
//! for a while, twice as long as after the read before. So the number of reads grows with the
//! logarithm of the wait's length, and the wait overshoots by at most its own length. When no other
//! vCPU can make progress, virtual time jumps to the next read of the first such vCPU. So a
//! time-out expires when every vCPU waits, and never while a vCPU that could prevent it can still
//! run.

use super::ControlledMachine;
use crate::choice::Choice;
use crate::error::Result;

/// This number of clock reads without a change is a measurement, not a wait.
const MEASURES: u32 = 3;
/// How long a vCPU is not scheduled after the first read beyond [`MEASURES`], in virtual
/// nanoseconds. The time doubles with each further read.
const FIRST_WAIT: u64 = 1 << 10;
/// The longest time for which it is not scheduled: 69 s.
const LAST_WAIT: u64 = 1 << 36;
/// How long the machine may wait without any progress before this counts as a hang, in virtual
/// nanoseconds: a day. The time-outs of kernels are seconds or minutes.
const LONGEST_WAIT: u64 = 24 * 3600 * 1_000_000_000;

/// How long a vCPU is not scheduled after `looks` reads of a clock without changing anything, in
/// virtual nanoseconds.
pub(super) fn pause_after(looks: u32) -> u64 {
    match looks.checked_sub(MEASURES + 1) {
        None => 0,
        Some(doublings) => FIRST_WAIT << doublings.min((LAST_WAIT / FIRST_WAIT).ilog2()),
    }
}

impl ControlledMachine {
    /// Records that a vCPU reads a clock.
    pub(super) fn looks_at_clock(&mut self, vcpu: u32) {
        let now = self.platform.now();
        self.vcpus[vcpu as usize].tracker.look_at_clock(now);
    }

    /// When the first vCPU that waits for time reads the clock again, in virtual nanoseconds.
    /// `None` if no vCPU waits for time.
    pub(super) fn next_look(&self) -> Option<u64> {
        let now = self.platform.now();
        let waiting = self.vcpus.iter().filter(|ctx| ctx.is_ready());
        waiting.map(|ctx| ctx.tracker.looks_again()).filter(|next| *next > now).min()
    }

    /// The next event, if no vCPU can make progress before: the next timer or release of a held
    /// vCPU, or the next clock read of a vCPU that waits for time. `None` if something can be done
    /// before, or if there is no such event.
    pub(super) fn next_event(&mut self, enabled: &[Choice]) -> Option<u64> {
        let look = self.next_look();
        if enabled.is_empty() {
            let timers = self.platform.next_deadline().into_iter();
            return timers.chain(self.next_release()).chain(look).min();
        }
        // vCPUs that loop without progress may do so for any time: it changes nothing.
        look.filter(|_| self.lack_progress(enabled))
    }

    /// Lets time pass to an event. True if nothing has happened for so long that the machine counts
    /// as hung.
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
