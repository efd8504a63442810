//! One vCPU's track: the states of the vCPU and the events on it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::events::{put, track_of};
use super::shared::Shared;

/// Events are passed on in pieces of about this size in bytes.
const PIECE: usize = 32 << 10;

/// The state of a vCPU.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// It executes guest code.
    Running,
    /// It sleeps in HLT.
    Halted,
    /// It was never started, or was reset by INIT.
    WaitsForSipi,
    /// A hook keeps it out of the guest.
    Held,
    /// It has left the guest: the kind of the exit, and its details.
    Exit(&'static str, Value),
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Halted => "halted",
            Self::WaitsForSipi => "waits for SIPI",
            Self::Held => "held",
            Self::Exit(name, _) => name,
        }
    }

    fn category(&self) -> &'static str {
        match self {
            Self::Exit(..) => "exit",
            _ => "state",
        }
    }
}

/// A state with its start and end.
#[derive(Debug)]
struct Slice {
    state: State,
    start: Duration,
    /// When the state ends by itself; `None` if it lasts until the next state begins.
    end: Option<Duration>,
}

/// One vCPU's track.
#[derive(Debug)]
pub(crate) struct Track {
    vcpu: u32,
    shared: Arc<Shared>,
    open: Option<Slice>,
    /// The time of the last event.
    now: Duration,
    text: Vec<u8>,
    count: u64,
}

#[derive(Serialize)]
struct Event<'a> {
    ph: &'static str,
    pid: u32,
    tid: u32,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// The scope of an instant: this track only.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    name: &'a str,
    cat: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: &'a Value,
}

impl Track {
    pub(super) fn new(vcpu: u32, shared: Arc<Shared>) -> Self {
        let (open, now) = (None, Duration::ZERO);
        Self { vcpu, shared, open, now, text: Vec::new(), count: 0 }
    }

    /// The current state.
    pub(super) fn state(&self) -> Option<&State> {
        self.open.as_ref().map(|slice| &slice.state)
    }

    /// When the current state ends by itself.
    pub(super) fn end(&self) -> Option<Duration> {
        self.open.as_ref().and_then(|slice| slice.end)
    }

    /// Ends the current state and begins another.
    pub(super) fn enter(&mut self, state: State, now: Duration) {
        self.leave(now);
        self.open = Some(Slice { state, start: now, end: None });
    }

    /// Sets when the current state ends.
    pub(super) fn until(&mut self, end: Duration) {
        if let Some(slice) = &mut self.open {
            slice.end = Some(end);
        }
    }

    /// Ends the current state, if there is one.
    pub(super) fn leave(&mut self, now: Duration) {
        let Some(Slice { state, start, end }) = self.open.take() else { return };
        let end = end.map_or(now, |end| end.min(now.max(start)));
        let args = match &state {
            State::Exit(_, args) => args,
            _ => &Value::Null,
        };
        self.put(
            end,
            &Event {
                dur: Some(microseconds(end.saturating_sub(start))),
                ..self.event("X", start, state.name(), state.category(), args)
            },
        );
    }

    /// Records an instant.
    pub(super) fn instant(&mut self, name: &str, cat: &'static str, now: Duration, args: &Value) {
        self.put(now, &Event { s: Some("t"), ..self.event("i", now, name, cat, args) });
    }

    fn event<'a>(
        &self,
        ph: &'static str,
        start: Duration,
        name: &'a str,
        cat: &'static str,
        args: &'a Value,
    ) -> Event<'a> {
        let (tid, ts) = (track_of(self.vcpu), microseconds(start));
        Event { ph, pid: 1, tid, ts, dur: None, s: None, name, cat, args }
    }

    fn put(&mut self, now: Duration, event: &Event) {
        self.now = now;
        if self.shared.is_closed() {
            return;
        }
        // Writing to memory can't fail, and all keys of the object are strings.
        if put(&mut self.text, event).is_ok() {
            self.count += 1;
        }
        if self.text.len() >= PIECE {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        self.shared.put(&self.text, std::mem::take(&mut self.count), self.now);
        self.text.clear();
        self.shared.wait_for_room();
    }

    /// Ends the current state and passes on what is buffered.
    pub(super) fn finish(&mut self) {
        self.leave(self.now);
        if self.count > 0 {
            self.hand_over();
        }
    }
}

/// A time in the unit of the format: microseconds, with nanoseconds as the fraction.
fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
