//! Throttling, as one vCPU sees it.

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
    /// Until when this vCPU is the victim, if it is.
    mine: Option<Duration>,
    /// It is in a gap between two slices. Slices count from when the vCPU really runs again: one
    /// that was over before it began would stop the vCPU for good.
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

    /// When this vCPU is the victim and its slice is over: the gap until the next one.
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
