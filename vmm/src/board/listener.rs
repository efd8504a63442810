//! Searches the console's output, before it is passed on, for what decides how the run ends.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::panic::PanicWatch;
use crate::criteria::{ConsoleMatcher, Criteria};
use crate::end::End;

/// The output of a console.
pub(super) struct Listener {
    out: Box<dyn Write + Send>,
    listening: Arc<Mutex<Listening>>,
}

/// The state of the searches, and how they have found that the run ends.
pub(super) struct Listening {
    pub(super) searches: Searches,
    pub(super) end: Option<End>,
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
        Self { searches, end: None }
    }

    /// Goes on from a saved state of the searches.
    pub(super) fn restore(&mut self, searches: &Searches) {
        self.searches.clone_from(searches);
        self.end = None;
    }

    /// Searches the next bytes of output.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let met = self.searches.matcher.feed(bytes).map(End::Met);
        let panicked = self.searches.panic.as_mut().is_some_and(|panic| panic.feed(bytes));
        // A criterion of the user's comes first.
        let found = met.or_else(|| self.panic().filter(|_| panicked));
        self.end = self.end.take().or(found);
    }

    /// The panic that the guest has reported.
    pub(super) fn panic(&self) -> Option<End> {
        let message = self.searches.panic.as_ref()?.message()?;
        Some(End::Panic { message })
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
