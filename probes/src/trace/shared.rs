//! The file of a trace, to which the tracks of all vCPUs write.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::Summary;
use super::events::Events;
use crate::aggregate::lock;

/// The state that all tracks share.
pub(super) struct Shared {
    file: Mutex<File>,
    /// Whether further events are discarded.
    closed: AtomicBool,
    /// Waits until the writer of the trace can accept more.
    pub(super) room: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct File {
    /// `None` after the end of the trace, or after an error.
    events: Option<Events<Box<dyn Write + Send>>>,
    error: Option<io::Error>,
    /// How many more bytes may be written.
    room: u64,
    count: u64,
    full: Option<Duration>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(events: Events<Box<dyn Write + Send>>, room: u64) -> Self {
        let file = File { events: Some(events), error: None, room, count: 0, full: None };
        Self { file: Mutex::new(file), closed: AtomicBool::new(false), room: OnceLock::new() }
    }

    /// Whether further events are discarded.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Waits until the writer of the trace can accept more. Called while the lock of the file is
    /// not held.
    pub(super) fn wait_for_room(&self) {
        if let Some(room) = self.room.get() {
            room();
        }
    }

    /// Writes `count` serialised events. `time` is the time of the last one.
    pub(super) fn put(&self, text: &[u8], count: u64, time: Duration) {
        let file = &mut *lock(&self.file);
        let Some(events) = &mut file.events else { return };
        if text.len() as u64 > file.room {
            file.room = 0;
            file.full = Some(file.full.map_or(time, |full| full.min(time)));
            self.closed.store(true, Relaxed);
            return;
        }
        match events.put_text(text) {
            Ok(()) => {
                file.room -= text.len() as u64;
                file.count += count;
            }
            Err(error) => {
                (file.error, file.events) = (Some(error), None);
                self.closed.store(true, Relaxed);
            }
        }
    }

    pub(super) fn finish(&self) -> io::Result<Summary> {
        self.closed.store(true, Relaxed);
        let file = &mut *lock(&self.file);
        if let Some(events) = file.events.take() {
            events.end()?;
        }
        match file.error.take() {
            Some(error) => Err(error),
            None => Ok(Summary { events: file.count, full: file.full }),
        }
    }
}
