//! Searches the output of the consoles, before it is passed on, for what decides how the run ends.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::panic::PanicWatch;
use super::source::Source;
use crate::criteria::{ConsoleMatcher, Criteria, Met};

/// The output of a console. A clone has the same output.
#[derive(Clone)]
pub(super) struct Listener {
    source: Source,
    out: Arc<Mutex<Box<dyn Write + Send>>>,
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
    /// For the texts of the machine's criteria, in the output of each console.
    matchers: [ConsoleMatcher; Source::COUNT],
    /// For a panic of Linux; `None` for other guests.
    pub(super) panic: Option<PanicWatch>,
}

impl Listener {
    /// The output of COM1.
    pub(super) fn new(out: Box<dyn Write + Send>, listening: Arc<Mutex<Listening>>) -> Self {
        Self { source: Source::Serial, out: Arc::new(Mutex::new(out)), listening }
    }

    /// The output of another console.
    pub(super) fn of(&self, source: Source) -> Self {
        Self { source, ..self.clone() }
    }
}

impl Listening {
    pub(super) fn new(criteria: &Criteria, is_linux: bool) -> Self {
        let searches = Searches {
            matchers: std::array::from_fn(|_| ConsoleMatcher::new(criteria)),
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
    pub(super) fn feed(&mut self, source: Source, bytes: &[u8]) {
        let met = self.searches.matchers[source as usize].feed(bytes);
        self.met = self.met.take().or(met);
        if let Some(panic) = &mut self.searches.panic {
            panic.feed(source, bytes);
        }
    }
}

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.listening).feed(self.source, bytes);
        // The guest's output counts as written even if writing it on fails.
        lock(&self.out).write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(&self.out).flush()
    }
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
