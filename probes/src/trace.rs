//! A trace of what vCPUs do, as Chrome trace events, which ui.perfetto.dev opens.
//!
//! Each vCPU has a track, with its states as slices and single events as instants. Under the
//! parallel scheduler times are real: a vCPU runs from an entry to the next exit, and an exit lasts
//! until the next entry. KVM doesn't report whether a vCPU sleeps in HLT and how far the start of
//! an AP has got, so this is polled every [`SAMPLE`]. Under the controlled scheduler times are
//! virtual: a scheduling point lasts one microsecond, in which its vCPU runs, and exits take no
//! time.
//!
//! Events are written as they occur, to a file with a size limit, so the use of memory is bounded.

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

/// How often the state of a vCPU is polled under the parallel scheduler.
pub const SAMPLE: Duration = Duration::from_millis(10);
/// The largest size of a trace in bytes. Perfetto's JSON importer uses several times as much
/// memory.
pub const MAX_TRACE_BYTES: u64 = 256 << 20;

/// A trace of one machine that is being written.
#[derive(Clone, Debug)]
pub struct Trace {
    shared: Arc<Shared>,
    tracks: Arc<[Arc<Mutex<Track>>]>,
}

/// The result of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number of events: slices and instants.
    pub events: u64,
    /// The time at which the size limit was reached; `None` if the trace is complete.
    pub full: Option<Duration>,
}

impl Trace {
    /// Begins a trace of a machine with this number of vCPUs. Perfetto shows `title` as its name.
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

    /// Sets a function that is called regularly on the vCPUs' threads, while the lock of the file
    /// is not held, so that the writer of the trace can make them wait.
    #[must_use]
    pub fn waiting_for(self, room: impl Fn() + Send + Sync + 'static) -> Self {
        // It is set only once, directly after `new`.
        let _ = self.shared.room.set(Box::new(room));
        self
    }

    /// Where the firings of a vCPU's probes are recorded.
    pub(crate) fn firings(&self, vcpu: u32, code: &Code) -> Option<Firings> {
        self.track(vcpu).map(|track| Firings::new(track, code))
    }

    fn track(&self, vcpu: u32) -> Option<Arc<Mutex<Track>>> {
        self.tracks.get(vcpu as usize).cloned()
    }

    /// Writes what is buffered, after the machine has stopped. Fails if any part of the trace could
    /// not be written.
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
