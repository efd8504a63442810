//! Jitter on one vCPU.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::debug;

use super::Injections;
use super::condition::{Condition, Progress};
use super::draw::Draw;
use super::pause::Pausing;
use super::spec::{Holds, JitterSpec};
use super::throttle::Throttle;
use super::victim::{Elections, Victim};
use crate::exit::Exit;
use crate::hook::{Context, Hook, Points, Verdict};

/// The stream of the elections, which all vCPUs share; the vCPUs' own streams have their numbers.
const ELECTION_STREAM: u64 = u64::MAX;

/// Injects delays into one vCPU.
pub(super) struct JitterHook {
    holds: Option<Holds>,
    pausing: Option<Pausing>,
    throttle: Option<Throttle>,
    draw: Draw,
    vcpu: u32,
    progress: Progress,
    counts: Injections,
    total: Arc<Mutex<Injections>>,
}

impl JitterHook {
    pub(super) fn new(
        spec: &JitterSpec,
        seed: u64,
        vcpu: u32,
        vcpus: u32,
        victim: Victim,
        total: Arc<Mutex<Injections>>,
    ) -> Self {
        let mut draw = Draw::new(seed, vcpu.into());
        let throttle = spec.throttle.map(|setting| {
            let stream = Draw::new(seed, ELECTION_STREAM);
            let elections = Elections::new(setting.every, stream, vcpu, vcpus);
            Throttle::new(setting, elections, vcpu, victim)
        });
        Self {
            holds: spec.hold.clone(),
            pausing: spec.pause.map(|setting| Pausing::new(setting, &mut draw)),
            throttle,
            draw,
            vcpu,
            progress: Progress::default(),
            counts: Injections::default(),
            total,
        }
    }

    /// Counts and logs an injection.
    fn inject(&mut self, now: Duration, kind: &'static str, time: Duration) -> Verdict {
        self.counts.microseconds += time.as_micros() as u64;
        debug!(vcpu = self.vcpu, at = ?now, kind, length = ?time, "injected");
        Verdict::Hold(time)
    }

    fn condition(&mut self, context: &mut Context) -> Condition {
        if Condition::is_idle(context) {
            return Condition::Idle;
        }
        let paused = self.pausing.as_ref().is_some_and(|pausing| pausing.paused);
        let in_gap = self.throttle.as_ref().is_some_and(|throttle| throttle.in_gap);
        if paused || in_gap {
            // A delay ends: the vCPU has not moved, but this means nothing.
            Condition::Busy
        } else {
            self.progress.look(context)
        }
    }
}

impl Hook for JitterHook {
    fn points(&self) -> Points {
        if self.holds.is_some() { Points::EXIT | Points::STOP } else { Points::STOP }
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        let Some(holds) = &self.holds else { return Verdict::Continue };
        if !holds.applies_to(exit) || !self.draw.chance(holds.probability) {
            return Verdict::Continue;
        }
        let time = self.draw.time(holds.length);
        self.counts.holds += 1;
        self.inject(context.now, exit.name(), time)
    }

    fn next_tick(&self) -> Option<Duration> {
        let pause = self.pausing.as_ref().map(|pausing| pausing.next);
        let throttle = self.throttle.as_ref().map(|throttle| throttle.next);
        pause.into_iter().chain(throttle).min()
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        let now = context.now;
        let condition = self.condition(context);
        let draw = &mut self.draw;
        let pause = self.pausing.as_mut().and_then(|p| p.tick(now, condition, draw));
        let gap = self.throttle.as_mut().and_then(|t| t.tick(now, condition, draw));
        self.counts.pauses += u64::from(pause.is_some());
        self.counts.throttles += u64::from(gap.is_some());
        match (pause, gap) {
            (None, None) => Verdict::Continue,
            (Some(time), None) => self.inject(now, "pause", time),
            (None, Some(time)) => self.inject(now, "throttle", time),
            (Some(pause), Some(gap)) => self.inject(now, "pause and throttle", pause.max(gap)),
        }
    }

    fn stop(&mut self, _: &mut Context) {
        self.total.lock().unwrap_or_else(PoisonError::into_inner).add(&self.counts);
    }
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
