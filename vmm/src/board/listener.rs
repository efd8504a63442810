//! Searches the console's output, before it is passed on, for what decides how the run ends.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::panic::PanicWatch;
use crate::criteria::{ConsoleMatcher, Criteria, Met};

/// The output of a console.
pub(super) struct Listener {
    out: Box<dyn Write + Send>,
    listening: Arc<Mutex<Listening>>,
}

/// The state of the searches, and the first criterion that has been met.
pub(super) struct Listening {
    pub(super) searches: Searches,
    pub(super) met: Option<Met>,
}

/// The state of the searches: plain data, of which a snapshot contains a copy.
#[derive(Clone, Debug)]
pub(super) struct Searches {
    /// For the texts of the machine's criteria.
    matcher: ConsoleMatcher,
    /// For a panic of Linux; `None` for other guests.
    pub(super) panic: Option<PanicWatch>,
}

impl Listener {
    pub(super) fn new(out: Box<dyn Write + Send>, listening: Arc<Mutex<Listening>>) -> Self {
        Self { out, listening }
    }
}

impl Listening {
    pub(super) fn new(criteria: &Criteria, is_linux: bool) -> Self {
        let searches = Searches {
            matcher: ConsoleMatcher::new(criteria),
            panic: is_linux.then(PanicWatch::default),
        };
        Self { searches, met: None }
    }

    /// Goes on from a saved state of the searches.
    pub(super) fn restore(&mut self, searches: &Searches) {
        self.searches.clone_from(searches);
        self.met = None;
    }

    /// Searches the next bytes of output.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let met = self.searches.matcher.feed(bytes);
        self.met = self.met.take().or(met);
        if let Some(panic) = &mut self.searches.panic {
            panic.feed(bytes);
        }
    }
}

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.listening).feed(bytes);
        // The guest's output counts as written even if writing it on fails.
        self.out.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(super) fn lock(listening: &Mutex<Listening>) -> MutexGuard<'_, Listening> {
    listening.lock().unwrap_or_else(PoisonError::into_inner)
}
