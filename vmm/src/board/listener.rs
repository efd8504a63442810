//! Searches the console's output for the texts of the machine's criteria, before it is passed on.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::criteria::{ConsoleMatcher, Criteria, Met};

/// The output of a console.
pub(super) struct Listener {
    out: Box<dyn Write + Send>,
    listening: Arc<Mutex<Listening>>,
}

/// The state of the search, and the first criterion that has been met.
pub(super) struct Listening {
    pub(super) matcher: ConsoleMatcher,
    pub(super) met: Option<Met>,
}

impl Listener {
    pub(super) fn new(out: Box<dyn Write + Send>, listening: Arc<Mutex<Listening>>) -> Self {
        Self { out, listening }
    }
}

impl Listening {
    pub(super) fn new(criteria: &Criteria) -> Self {
        Self { matcher: ConsoleMatcher::new(criteria), met: None }
    }

    /// Goes on from a saved state of the search.
    pub(super) fn restore(&mut self, matcher: &ConsoleMatcher) {
        self.matcher.clone_from(matcher);
        self.met = None;
    }
}

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        {
            let mut listening = lock(&self.listening);
            let met = listening.matcher.feed(bytes);
            listening.met = listening.met.take().or(met);
        }
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
