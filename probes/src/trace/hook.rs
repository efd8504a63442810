//! Translates what a scheduler reports about one vCPU into states and events of its track.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use vmm::controlled::Choice;
use vmm::exit::{Entry, Exit};
use vmm::hook::{ApicEvent, Context, Hook, Points, Verdict};
use vmm::registers::Activity;

use super::SAMPLE;
use super::track::{State, Track};
use crate::aggregate::lock;

/// The virtual time that a scheduling point takes.
const POINT: Duration = Duration::from_micros(1);

/// The hook that records what one vCPU does.
pub(super) struct Tracer {
    track: Option<Arc<Mutex<Track>>>,
    /// When to poll the vCPU's state next; `None` under the controlled scheduler, which reports it.
    next: Option<Duration>,
}

impl Tracer {
    pub(super) fn new(track: Option<Arc<Mutex<Track>>>) -> Self {
        Self { track, next: None }
    }

    fn track(&self) -> Option<MutexGuard<'_, Track>> {
        self.track.as_ref().map(|track| lock(track))
    }
}

/// Whether the run is made of scheduling points.
fn is_controlled(context: &Context) -> bool {
    context.point.is_some()
}

impl Hook for Tracer {
    fn points(&self) -> Points {
        Points::START
            | Points::EXIT
            | Points::ENTRY
            | Points::HOLD
            | Points::CHOICE
            | Points::APIC
            | Points::HANG
            | Points::STOP
    }

    fn start(&mut self, context: &mut Context) {
        let now = context.now;
        if !is_controlled(context) {
            self.next = Some(now + SAMPLE);
        }
        let Some(mut track) = self.track() else { return };
        if !context.started {
            track.enter(State::WaitsForSipi, now);
        } else if !is_controlled(context) {
            track.enter(State::Running, now);
        }
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        // The host causes a kick, and the guest doesn't notice it.
        if !exit.is_guest_activity() {
            return Verdict::Continue;
        }
        let Some(mut track) = self.track() else { return Verdict::Continue };
        let now = context.now;
        if !is_controlled(context) {
            ran_on(&mut track, now);
            track.enter(State::Exit(exit.name(), about(exit)), now);
            return Verdict::Continue;
        }
        track.instant(exit.name(), "exit", now, &about(exit));
        if *exit == Exit::Halt {
            let from = track.end().unwrap_or(now);
            track.enter(State::Halted, from);
        }
        Verdict::Continue
    }

    fn entry(&mut self, context: &mut Context, _: &Entry) {
        if is_controlled(context) {
            return;
        }
        let Some(mut track) = self.track() else { return };
        if matches!(track.state(), Some(State::Exit(..) | State::Held)) {
            track.enter(State::Running, context.now);
        }
    }

    fn held(&mut self, context: &mut Context, time: Duration) {
        let Some(mut track) = self.track() else { return };
        let until = context.now.saturating_add(time);
        let known = track.end().filter(|end| *end >= context.now);
        if known.is_none() || track.state() != Some(&State::Held) {
            // The scheduling point in progress takes its time first.
            track.enter(State::Held, known.unwrap_or(context.now));
        }
        track.until(known.map_or(until, |known| known.max(until)));
    }

    fn next_tick(&self) -> Option<Duration> {
        self.next
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        let now = context.now;
        self.next = Some(now + SAMPLE);
        let Some(mut track) = self.track() else { return Verdict::Continue };
        if let (false, Ok(activity)) = (context.held, context.cpu.activity()) {
            ran_on(&mut track, now);
            let state = match activity {
                Activity::Running => State::Running,
                Activity::Halted => State::Halted,
                Activity::WaitForSipi => State::WaitsForSipi,
            };
            if track.state() != Some(&state) {
                track.enter(state, now);
            }
        }
        Verdict::Continue
    }

    fn choice(&mut self, context: &mut Context, choice: Choice) {
        let Some(mut track) = self.track() else { return };
        let now = context.now;
        // The vCPU continues to run if it also ran at the scheduling point before.
        if track.state() != Some(&State::Running) || track.end() != Some(now) {
            track.enter(State::Running, now);
        }
        track.until(now + POINT);
        let kind = match choice {
            Choice::Step(_) => "step",
            Choice::Interrupt(_) => "interrupt",
            Choice::Fault(..) => "fault",
        };
        let point = context.point.unwrap_or_default();
        track.instant(kind, "point", now, &json!({ "point": point }));
    }

    fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Verdict {
        let Some(mut track) = self.track() else { return Verdict::Continue };
        match event {
            ApicEvent::Init => track.enter(State::WaitsForSipi, context.now),
            ApicEvent::Startup { .. } => track.leave(context.now),
            _ => {}
        }
        Verdict::Continue
    }

    fn hang(&mut self, context: &mut Context, proven: bool) {
        if let Some(mut track) = self.track() {
            track.instant("hang", "hang", context.now, &json!({ "proven": proven }));
        }
    }

    fn stop(&mut self, context: &mut Context) {
        let Some(mut track) = self.track() else { return };
        let now = context.now;
        if !is_controlled(context) {
            ran_on(&mut track, now);
        }
        // The last scheduling point takes its time, too.
        let end = track.end().map_or(now, |end| end.max(now));
        track.leave(end);
        track.finish();
    }
}

/// Enters the running state if the vCPU is no longer held, which the scheduler doesn't always
/// report.
fn ran_on(track: &mut Track, now: Duration) {
    if let (Some(State::Held), Some(end)) = (track.state(), track.end())
        && end < now
    {
        track.enter(State::Running, end);
    }
}

/// The details of an exit.
fn about(exit: &Exit) -> Value {
    let hex = |number: u64| format!("{number:#x}");
    match exit {
        Exit::PortRead { port, size, .. } => json!({ "port": hex((*port).into()), "bytes": size }),
        Exit::PortWrite { port, data, .. } => {
            json!({ "port": hex((*port).into()), "bytes": data.len() })
        }
        Exit::MmioRead { address, size } => json!({ "address": hex(*address), "bytes": size }),
        Exit::MmioWrite { address, data } => {
            json!({ "address": hex(*address), "bytes": data.len() })
        }
        Exit::MsrRead { index } => json!({ "register": hex((*index).into()) }),
        Exit::MsrWrite { index, value } => {
            json!({ "register": hex((*index).into()), "value": hex(*value) })
        }
        _ => Value::Null,
    }
}
