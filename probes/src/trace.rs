//! What vCPUs did, as a trace: Chrome's trace events, which ui.perfetto.dev opens.
//!
//! A track for each vCPU: its states as slices, what happened to it as instants. Under the parallel
//! scheduler times are real. A vCPU runs from an entry to the next exit, an exit takes until the next
//! entry. What KVM keeps to itself, whether it sleeps in HLT and how far an AP's start has come, is
//! looked up every [`SAMPLE`]. Under the controlled scheduler times are virtual: a scheduling point takes
//! a microsecond, in which its vCPU runs, and exits take none.
//!
//! Events are written as they come, to a file that has a limit; nothing else grows.

mod events;
mod firings;
mod hook;
mod shared;
mod track;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vmm::hook::{Attach, Hook};

pub use events::{Events, track_of};
pub(crate) use firings::Firings;
use hook::Tracer;
use shared::Shared;
use track::Track;

use crate::aggregate::lock;
use crate::code::Code;

/// How often the parallel scheduler's vCPUs are asked what they do.
pub const SAMPLE: Duration = Duration::from_millis(10);
/// The most bytes of a trace. Perfetto's importer of JSON takes several times as much memory.
pub const MAX_TRACE_BYTES: u64 = 256 << 20;

/// A trace of one machine, as it is written.
#[derive(Clone, Debug)]
pub struct Trace {
    shared: Arc<Shared>,
    tracks: Arc<[Arc<Mutex<Track>>]>,
}

/// What a trace has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How much happened: slices and instants.
    pub events: u64,
    /// When the limit was reached; `None` if all is in it.
    pub full: Option<Duration>,
}

impl Trace {
    /// Begins a trace of a machine with so many vCPUs. `title` is what Perfetto calls it.
    pub fn new(out: impl Write + Send + 'static, title: &str, vcpus: u32) -> io::Result<Self> {
        Self::with_limit(out, title, vcpus, MAX_TRACE_BYTES)
    }

    fn with_limit(
        out: impl Write + Send + 'static,
        title: &str,
        vcpus: u32,
        limit: u64,
    ) -> io::Result<Self> {
        let events = Events::begin(Box::new(out) as Box<dyn Write + Send>, title, vcpus)?;
        let shared = Arc::new(Shared::new(events, limit));
        let track = |vcpu| Arc::new(Mutex::new(Track::new(vcpu, Arc::clone(&shared))));
        let tracks = (0..vcpus).map(track).collect();
        Ok(Self { shared, tracks })
    }

    /// Calls this now and then on the vCPUs' threads, while no lock is held, so that whoever writes the
    /// trace can have them wait.
    #[must_use]
    pub fn waiting_for(self, room: impl Fn() + Send + Sync + 'static) -> Self {
        // Nobody else has set it: it is called once, right behind `new`.
        let _ = self.shared.room.set(Box::new(room));
        self
    }

    /// Where a vCPU's probes leave their firings.
    pub(crate) fn firings(&self, vcpu: u32, code: &Code) -> Option<Firings> {
        self.track(vcpu).map(|track| Firings::new(track, code))
    }

    fn track(&self, vcpu: u32) -> Option<Arc<Mutex<Track>>> {
        self.tracks.get(vcpu as usize).cloned()
    }

    /// The machine has stopped: writes what is left. Fails if anything could not be written.
    pub fn finish(&self) -> io::Result<Summary> {
        for track in self.tracks.iter() {
            lock(track).finish();
        }
        self.shared.finish()
    }
}

impl Attach for Trace {
    fn attach(&self, vcpu: u32, _: u32) -> Box<dyn Hook> {
        Box::new(Tracer::new(self.track(vcpu)))
    }
}

#[cfg(test)]
#[path = "trace/tests.rs"]
mod tests;
