//! Pauses of one vCPU.

use std::time::Duration;

use super::condition::Condition;
use super::draw::Draw;
use super::spec::Pauses;

/// Determines when the next pause is due.
#[derive(Debug)]
pub(super) struct Pausing {
    setting: Pauses,
    /// Whether the vCPU is in a pause. The time to the next pause counts from the end, when the
    /// vCPU really runs again: sleeps end late on a busy host.
    pub(super) paused: bool,
    pub(super) next: Duration,
}

impl Pausing {
    pub(super) fn new(setting: Pauses, draw: &mut Draw) -> Self {
        Self { setting, paused: false, next: draw.time(setting.every) }
    }

    /// Returns the length of a pause if one is due.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        condition: Condition,
        draw: &mut Draw,
    ) -> Option<Duration> {
        if self.next > now {
            return None;
        }
        if self.paused {
            self.paused = false;
            self.next = now + draw.time(self.setting.every);
            return None;
        }
        match condition {
            Condition::Busy => {
                let length = draw.time(self.setting.length);
                self.paused = true;
                self.next = now + length;
                Some(length)
            }
            Condition::Idle => {
                self.next = now + self.setting.every.high();
                None
            }
            Condition::Stalled(grace) => {
                self.next = now + grace;
                None
            }
        }
    }
}
