//! Elects the victims of throttling.
//!
//! There is at most one victim at a time. Elections are held at times that every vCPU's hook
//! derives from the seed, each with a random order in which the vCPUs take turns: the first vCPU
//! that is awake becomes the victim, unless there is one already. It stays the victim for a time
//! drawn from its own stream, or until it goes to sleep: throttling a sleeping vCPU would have no
//! effect, and the vCPUs that it had woken would run unhindered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::draw::Draw;
use super::spec::Range;

/// The time from one vCPU's turn to the next: a little more than a kick takes.
const VICTIM_INTERVAL: Duration = Duration::from_micros(150);

/// The victim, shared by all vCPUs of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Victim(Arc<AtomicU32>);

impl Victim {
    const NOBODY: u32 = 0;

    /// Makes this vCPU the victim, unless there is one. Returns whether it did.
    pub(super) fn claim(&self, vcpu: u32) -> bool {
        let relaxed = Ordering::Relaxed;
        self.0.compare_exchange(Self::NOBODY, vcpu + 1, relaxed, relaxed).is_ok()
    }

    /// Ends the victim's role. Only the victim may call this.
    pub(super) fn release(&self) {
        self.0.store(Self::NOBODY, Ordering::Relaxed);
    }
}

/// The elections, from the view of one vCPU.
#[derive(Clone, Debug)]
pub(super) struct Elections {
    every: Range,
    draw: Draw,
    vcpu: u32,
    order: Vec<u32>,
    time: Duration,
}

impl Elections {
    /// `draw` is the stream that all vCPUs of a run share.
    pub(super) fn new(every: Range, draw: Draw, vcpu: u32, vcpus: u32) -> Self {
        Self { every, draw, vcpu, order: (0..vcpus).collect(), time: Duration::ZERO }
    }

    /// The time of this vCPU's next turn after `now`.
    pub(super) fn next_turn(&mut self, now: Duration) -> Duration {
        loop {
            let turn = self.next();
            if turn > now {
                return turn;
            }
        }
    }

    fn next(&mut self) -> Duration {
        self.time += self.draw.time(self.every);
        for last in (1..self.order.len()).rev() {
            let other = self.draw.below(last as u32 + 1);
            self.order.swap(last, other as usize);
        }
        let rank = self.order.iter().position(|vcpu| *vcpu == self.vcpu).unwrap_or(0);
        self.time + VICTIM_INTERVAL * rank as u32
    }
}

#[cfg(test)]
#[path = "victim_tests.rs"]
mod tests;
