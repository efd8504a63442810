//! One vCPU's end of a session.

use std::sync::Arc;
use std::time::Duration;

use vmm::hook::{Context, Hook, Points, Verdict};

use super::counts::Counters;
use super::timer::Timer;
use crate::engine::{Engine, Values};
use crate::ir::Program;
use crate::point::Point;

/// Fires the probes of one vCPU.
pub(super) struct ProbeHook {
    engine: Engine,
    counters: Arc<Counters>,
    on_load: Vec<usize>,
    on_unload: Vec<usize>,
    timers: Vec<Timer>,
    /// Probes on timers in the order of the script: the probe, and its timer in `timers`.
    on_tick: Vec<(usize, usize)>,
    /// What each timer missed at the tick that is being handled; `None` if it isn't due.
    due: Vec<Option<u64>>,
}

impl ProbeHook {
    pub(super) fn new(program: &Program, engine: Engine, counters: Arc<Counters>) -> Self {
        let at = |point: Point| {
            let probes = program.probes.iter().enumerate();
            probes.filter(move |(_, probe)| probe.point == point).map(|(index, _)| index).collect()
        };
        let mut timers: Vec<(Duration, Timer)> = Vec::new();
        let mut on_tick = Vec::new();
        for (index, probe) in program.probes.iter().enumerate() {
            let Some(period) = probe.point.period() else { continue };
            let known = timers.iter().position(|(other, _)| *other == period);
            let timer = known.unwrap_or_else(|| {
                timers.push((period, Timer::new(period)));
                timers.len() - 1
            });
            on_tick.push((index, timer));
        }
        let timers: Vec<Timer> = timers.into_iter().map(|(_, timer)| timer).collect();
        Self {
            engine,
            counters,
            on_load: at(Point::VmmLoad),
            on_unload: at(Point::VmmUnload),
            due: Vec::with_capacity(timers.len()),
            timers,
            on_tick,
        }
    }

    fn fire(&mut self, probe: usize, context: &mut Context, values: &mut Values) {
        let outcome = self.engine.fire(probe, context, values);
        self.counters.fired(probe, outcome);
    }
}

impl Hook for ProbeHook {
    fn points(&self) -> Points {
        // Stop is always wanted: it ends a line that has no newline.
        let start = if self.on_load.is_empty() { Points::empty() } else { Points::START };
        start | Points::STOP
    }

    fn start(&mut self, context: &mut Context) {
        let mut values = Values::default();
        for probe in std::mem::take(&mut self.on_load) {
            self.fire(probe, context, &mut values);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.timers.iter().map(Timer::next).min()
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        let now = context.now;
        self.due.clear();
        self.due.extend(self.timers.iter_mut().map(|timer| timer.advance(now).map(|d| d.missed)));
        // An AP that was never started has no state of its own to show.
        if !context.started {
            return Verdict::Continue;
        }
        let mut values = Values::default();
        for index in 0..self.on_tick.len() {
            let Some(&(probe, timer)) = self.on_tick.get(index) else { continue };
            if let Some(Some(missed)) = self.due.get(timer).copied() {
                self.counters.missed(probe, missed);
                self.fire(probe, context, &mut values);
            }
        }
        Verdict::Continue
    }

    fn stop(&mut self, context: &mut Context) {
        let mut values = Values::default();
        for probe in std::mem::take(&mut self.on_unload) {
            self.fire(probe, context, &mut values);
        }
        self.engine.finish();
    }
}
