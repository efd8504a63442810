//! When a fault strikes next, and at which vCPU.

use std::time::Duration;

use crate::fault::{FaultSpec, When};
use crate::jitter::Draw;

/// How soon a fault that could not strike tries again.
const RETRY: Duration = Duration::from_millis(1);
/// The streams of faults are behind those of jitter, which has one for each vCPU and one of all
/// ones, and those of scripts, which begin at 2^32.
const FIRST_STREAM: u64 = 1 << 33;

/// When a fault strikes next, and at which vCPU.
#[derive(Debug)]
pub(super) struct Timing {
    /// The only vCPU, if the user has named one.
    only: Option<u32>,
    vcpus: u32,
    vcpu: u32,
    /// When it strikes next; `None` before a mark, and when it strikes no more.
    next: Option<Duration>,
    /// From the mark, if it has not come yet.
    awaited: Option<Duration>,
    every: Option<Duration>,
    /// Whether it waits for a vCPU to execute a symbol, and how often that has happened.
    awaits_symbol: bool,
    executed: u64,
    left: u32,
    draw: Draw,
}

impl Timing {
    pub(super) fn new(spec: &FaultSpec, seed: u64, number: u64) -> Self {
        let (next, awaited) = match spec.at {
            Some(When::Start(time)) => (Some(time), None),
            Some(When::Mark(time)) => (None, Some(time)),
            Some(When::Symbol(_)) => (None, None),
            None if spec.kind.is_from_start() => (Some(Duration::ZERO), None),
            None => (spec.every, None),
        };
        Self {
            only: spec.vcpu,
            vcpus: 0,
            vcpu: 0,
            next,
            awaited,
            every: spec.every,
            awaits_symbol: matches!(spec.at, Some(When::Symbol(_))),
            executed: 0,
            left: spec.times,
            draw: Draw::new(seed, FIRST_STREAM + number),
        }
    }

    /// Sets the number of vCPUs. Only the first call counts.
    pub(super) fn begin(&mut self, vcpus: u32) {
        if self.vcpus == 0 {
            self.vcpus = vcpus;
            self.choose();
        }
    }

    /// Chooses the next vCPU.
    fn choose(&mut self) {
        let drawn = || self.draw.between(0, u64::from(self.vcpus) - 1) as u32;
        self.vcpu = self.only.unwrap_or_else(drawn);
    }

    /// When it strikes next at this vCPU.
    pub(super) fn next_at(&self, vcpu: u32) -> Option<Duration> {
        self.next.filter(|_| self.vcpu == vcpu)
    }

    /// The vCPU at which it strikes next; `None` if that is not known or not to be.
    pub(super) fn target(&self) -> Option<u32> {
        self.next.map(|_| self.vcpu)
    }

    /// Begins the time from the guest's mark. Only the first mark counts.
    pub(super) fn mark(&mut self, now: Duration) {
        if let Some(time) = self.awaited.take() {
            self.next = Some(now.saturating_add(time));
        }
    }

    /// Whether it waits for a vCPU to execute a symbol.
    pub(super) fn awaits_symbol(&self) -> bool {
        self.awaits_symbol
    }

    /// Called when a vCPU is about to execute the symbol. Returns whether the fault is to strike
    /// now: at the first time, or the n-th.
    pub(super) fn executes_symbol(&mut self, vcpu: u32, nth: Option<u64>) -> bool {
        if !self.awaits_symbol || self.only.is_some_and(|only| only != vcpu) {
            return false;
        }
        self.executed += 1;
        self.awaits_symbol = nth.is_some_and(|nth| nth > self.executed);
        !self.awaits_symbol
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        const PARTS: u64 = 1_000_000;
        (self.draw.between(1, PARTS) as f64) <= probability * PARTS as f64 + 0.5
    }

    /// A bit of a byte.
    pub(super) fn draw_bit(&mut self) -> u32 {
        self.draw.between(0, 7) as u32
    }

    /// Takes one of the times that are left; false if there is none.
    pub(super) fn take_one(&mut self) -> bool {
        let is_left = self.left > 0;
        if self.left != FaultSpec::UNLIMITED {
            self.left = self.left.saturating_sub(1);
        }
        is_left
    }

    /// Called while it strikes: nothing is due until that has had an effect or not.
    pub(super) fn pend(&mut self) {
        self.next = None;
    }

    /// Called when it could not strike: it tries again soon, perhaps at another vCPU.
    pub(super) fn retry(&mut self, now: Duration) {
        self.next = Some(now.saturating_add(RETRY));
        self.choose();
    }

    /// Called when it has struck at `due`, or was left out by chance.
    pub(super) fn go_on(&mut self, due: Duration, now: Duration, struck: bool) {
        if struck {
            self.take_one();
        }
        self.next = self.every.filter(|_| self.left > 0).map(|every| {
            // What a slow host has missed is not made up for in a burst.
            let next = due.saturating_add(every);
            if next < now { now.saturating_add(every) } else { next }
        });
        if self.next.is_some() {
            self.choose();
        }
    }
}
