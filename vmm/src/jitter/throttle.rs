//! Throttling, from the view of one vCPU.

use std::time::Duration;

use super::condition::Condition;
use super::draw::Draw;
use super::spec::Throttling;
use super::victim::{Elections, Victim};

/// Whether this vCPU is the victim, and when its next slice or gap begins.
#[derive(Debug)]
pub(super) struct Throttle {
    setting: Throttling,
    elections: Elections,
    vcpu: u32,
    victim: Victim,
    /// The time until which this vCPU is the victim; `None` if it is not.
    mine: Option<Duration>,
    /// Whether it is in a gap between two slices. A slice counts from the time when the vCPU really
    /// runs again: a slice that ended before it began would stop the vCPU for good.
    pub(super) in_gap: bool,
    pub(super) next: Duration,
}

impl Throttle {
    pub(super) fn new(
        setting: Throttling,
        mut elections: Elections,
        vcpu: u32,
        victim: Victim,
    ) -> Self {
        let next = elections.next_turn(Duration::ZERO);
        Self { setting, elections, vcpu, victim, mine: None, in_gap: false, next }
    }

    /// Returns the length of a gap if this vCPU is the victim and its slice is over.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        condition: Condition,
        draw: &mut Draw,
    ) -> Option<Duration> {
        if self.next > now {
            return None;
        }
        if self.in_gap {
            self.in_gap = false;
            self.next = now + draw.time(self.setting.slice);
            return None;
        }
        if let (Some(_), Condition::Stalled(grace)) = (self.mine, condition) {
            self.next = now + grace;
            return None;
        }
        let idle = condition == Condition::Idle;
        if self.mine.is_none() && !idle && self.victim.claim(self.vcpu) {
            self.mine = Some(now + draw.time(self.setting.length));
        }
        match self.mine {
            Some(end) if now < end && !idle => {
                let gap = draw.time(self.setting.gap);
                self.in_gap = true;
                self.next = now + gap;
                Some(gap)
            }
            mine => {
                if mine.is_some() {
                    self.mine = None;
                    self.victim.release();
                }
                self.next = self.elections.next_turn(now);
                None
            }
        }
    }
}
