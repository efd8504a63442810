//! Jitter on one vCPU.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::debug;

use super::Injections;
use super::draw::Draw;
use super::spec::{Holds, JitterSpec, Pauses, Throttling};
use super::throttle::{Elections, Victim};
use crate::exit::Exit;
use crate::hook::{Context, Hook, Points, Verdict};
use crate::registers::Activity;

/// The stream of the elections, which all vCPUs share; the vCPUs' own are their numbers.
const ELECTION_STREAM: u64 = u64::MAX;

/// Injects delays into one vCPU.
pub(super) struct JitterHook {
    holds: Option<Holds>,
    pauses: Option<Pausing>,
    throttle: Option<Throttle>,
    draw: Draw,
    vcpu: u32,
    counts: Injections,
    total: Arc<Mutex<Injections>>,
}

struct Pausing {
    setting: Pauses,
    /// It is in a pause: the time to the next counts from its end.
    paused: bool,
    next: Duration,
}

struct Throttle {
    setting: Throttling,
    elections: Elections,
    victim: Victim,
    /// Until when this vCPU is the victim, if it is.
    mine: Option<Duration>,
    /// It is in a gap between two slices.
    in_gap: bool,
    next: Duration,
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
        let pauses = spec.pause.map(|setting| Pausing {
            setting,
            paused: false,
            next: draw.time(setting.every),
        });
        let throttle = spec.throttle.map(|setting| {
            let stream = Draw::new(seed, ELECTION_STREAM);
            let mut elections = Elections::new(setting.every, stream, vcpu, vcpus);
            let next = elections.next_turn(Duration::ZERO);
            Throttle { setting, elections, victim, mine: None, in_gap: false, next }
        });
        Self {
            holds: spec.hold.clone(),
            pauses,
            throttle,
            draw,
            vcpu,
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

    /// When a pause is due: its length. A vCPU that sleeps, or was never started, can't race: it
    /// is left alone, and asked again a little later.
    fn pause(&mut self, now: Duration, idle: bool) -> Option<Duration> {
        let pausing = self.pauses.as_mut()?;
        if pausing.next > now {
            return None;
        }
        if pausing.paused {
            pausing.paused = false;
            pausing.next = now + self.draw.time(pausing.setting.every);
            return None;
        }
        if idle {
            pausing.next = now + pausing.setting.every.high();
            return None;
        }
        let length = self.draw.time(pausing.setting.length);
        pausing.paused = true;
        pausing.next = now + length;
        self.counts.pauses += 1;
        Some(length)
    }

    /// When this vCPU is the victim and its slice is over: the gap until the next one.
    fn throttle(&mut self, now: Duration, idle: bool) -> Option<Duration> {
        let throttle = self.throttle.as_mut()?;
        if throttle.next > now {
            return None;
        }
        if throttle.in_gap {
            // Slices count from when the vCPU really runs again: sleeps end late on a busy host,
            // and a slice that was over before it began would stop the vCPU for good.
            throttle.in_gap = false;
            throttle.next = now + self.draw.time(throttle.setting.slice);
            return None;
        }
        if throttle.mine.is_none() && !idle && throttle.victim.claim(self.vcpu) {
            throttle.mine = Some(now + self.draw.time(throttle.setting.length));
        }
        match throttle.mine {
            Some(end) if now < end && !idle => {
                let gap = self.draw.time(throttle.setting.gap);
                throttle.in_gap = true;
                throttle.next = now + gap;
                self.counts.throttles += 1;
                Some(gap)
            }
            mine => {
                if mine.is_some() {
                    throttle.mine = None;
                    throttle.victim.release();
                }
                throttle.next = throttle.elections.next_turn(now);
                None
            }
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
        let pause = self.pauses.as_ref().map(|pausing| pausing.next);
        let throttle = self.throttle.as_ref().map(|throttle| throttle.next);
        pause.into_iter().chain(throttle).min()
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        let now = context.now;
        let idle = !context.started
            || context.held
            || !matches!(context.cpu.activity(), Ok(Activity::Running));
        let pause = self.pause(now, idle);
        let throttle = self.throttle(now, idle);
        match (pause, throttle) {
            (None, None) => Verdict::Continue,
            (Some(time), None) => self.inject(now, "pause", time),
            (None, Some(time)) => self.inject(now, "throttle", time),
            (Some(pause), Some(throttle)) => {
                self.inject(now, "pause and throttle", pause + throttle)
            }
        }
    }

    fn stop(&mut self, _: &mut Context) {
        self.total.lock().unwrap_or_else(PoisonError::into_inner).add(&self.counts);
    }
}

#[cfg(test)]
#[path = "hook_tests.rs"]
mod tests;
