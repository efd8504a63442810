//! The queue of output that waits to be written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use super::CAPACITY;

/// A pipe that is ready accepts this number of bytes without blocking the writer (`PIPE_BUF`).
const PIECE: usize = 4096;

/// The number of standard streams: standard output and standard error.
const STANDARD: usize = 2;

/// What waits to be written, for all streams, in order.
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    streams: Vec<Target>,
    /// The time after which threads don't wait any more, because a signal or the time limit has
    /// ended the run.
    hurry: Option<Instant>,
    /// The same for a search whose time limit may come while it waits for a reader.
    limit: Option<Instant>,
    /// Whether the thread that writes looks from time to time at what is held.
    is_watched: bool,
    /// What the thread that writes does once, besides.
    errands: Vec<Errand>,
}

/// Something that the thread that writes does once.
pub(super) type Errand = Box<dyn FnOnce() + Send>;

struct Entry {
    stream: usize,
    bytes: Vec<u8>,
    /// The number of bytes already written.
    done: usize,
}

struct Target {
    /// `None` if there is no such stream, or its reader has closed it.
    file: Option<Arc<File>>,
    /// Bytes in the queue, including those that are being written.
    waiting: usize,
    error: Option<io::Error>,
    /// Bytes that were not written because of an error or a deadline.
    lost: u64,
    held: Held,
}

/// The beginning of a line that waits for its end.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many bytes have come in all, and how many had come at the last look.
    came: u64,
    seen: u64,
}

impl Target {
    fn new(file: Option<File>) -> Self {
        Self { file: file.map(Arc::new), waiting: 0, error: None, lost: 0, held: Held::default() }
    }
}

/// A piece that is about to be written.
pub(super) struct Chunk {
    stream: usize,
    file: Arc<File>,
    bytes: Vec<u8>,
}

impl Chunk {
    /// Writes part of the piece.
    pub(super) fn write(&mut self) -> io::Result<usize> {
        (&*self.file).write(&self.bytes)
    }
}

impl Queue {
    /// A queue for these streams.
    pub(super) fn new(files: [Option<File>; STANDARD]) -> Self {
        let streams = files.into_iter().map(Target::new).collect();
        Self {
            entries: VecDeque::new(),
            streams,
            hurry: None,
            limit: None,
            is_watched: false,
            errands: Vec::new(),
        }
    }

    /// The files of the standard streams, to which the queue then writes nothing more.
    pub(super) fn take_files(&mut self) -> [Option<Arc<File>>; STANDARD] {
        [0, 1].map(|stream| self.streams[stream].file.take())
    }

    /// Has the thread that writes do something.
    pub(super) fn add_errand(&mut self, errand: Errand) {
        self.errands.push(errand);
    }

    /// Whether the thread has something to do besides.
    pub(super) fn has_errands(&self) -> bool {
        !self.errands.is_empty()
    }

    /// What the thread has to do besides.
    pub(super) fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// Adds a stream and returns its number.
    pub(super) fn add(&mut self, file: File) -> usize {
        let target = Target::new(Some(file));
        let closed = self.streams.iter().skip(STANDARD).position(|target| target.file.is_none());
        if let Some(closed) = closed {
            self.streams[STANDARD + closed] = target;
            return STANDARD + closed;
        }
        self.streams.push(target);
        self.streams.len() - 1
    }

    pub(super) fn push(&mut self, stream: usize, bytes: Vec<u8>) {
        let late = self.is_late();
        let target = &mut self.streams[stream];
        if target.file.is_none() {
            return;
        }
        if late && target.waiting >= CAPACITY {
            target.lost += bytes.len() as u64;
            return;
        }
        target.waiting += bytes.len();
        self.entries.push_back(Entry { stream, bytes, done: 0 });
    }

    /// Adds bytes to the line that is held. Returns whether the thread that writes has to
    /// be told: from then on it looks at what is held.
    pub(super) fn hold(&mut self, stream: usize, bytes: &[u8]) -> bool {
        let held = &mut self.streams[stream].held;
        held.bytes.extend_from_slice(bytes);
        held.came += bytes.len() as u64;
        !std::mem::replace(&mut self.is_watched, true)
    }

    /// The number of bytes that are held for a stream.
    pub(super) fn held(&self, stream: usize) -> usize {
        self.streams[stream].held.bytes.len()
    }

    /// Queues what is held for a stream.
    pub(super) fn release(&mut self, stream: usize) {
        let bytes = std::mem::take(&mut self.streams[stream].held.bytes);
        if !bytes.is_empty() {
            self.push(stream, bytes);
        }
    }

    /// Whether the thread that writes has to look at what is held.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Queues what is held and has not grown since the last look. If nothing has come since then,
    /// this was the last look.
    pub(super) fn look(&mut self) {
        self.is_watched = false;
        for stream in 0..self.streams.len() {
            let held = &mut self.streams[stream].held;
            if held.seen == held.came {
                self.release(stream);
            } else {
                (held.seen, self.is_watched) = (held.came, true);
            }
        }
    }

    /// The files for which output is queued, with the numbers of their streams.
    pub(super) fn wanted(&self) -> Vec<(usize, Arc<File>)> {
        let wanted = self.streams.iter().enumerate().filter(|(_, target)| target.waiting > 0);
        wanted.filter_map(|(stream, target)| Some((stream, target.file.clone()?))).collect()
    }

    /// Takes the next piece for a stream that is ready.
    pub(super) fn take(&mut self, is_ready: impl Fn(usize) -> bool) -> Option<Chunk> {
        let first = self.entries.iter().position(|entry| is_ready(entry.stream))?;
        let stream = self.entries[first].stream;
        let file = self.streams[stream].file.clone()?;
        let mut bytes = Vec::new();
        while bytes.len() < PIECE
            && let Some(entry) = self.entries.get_mut(first)
            && entry.stream == stream
        {
            let rest = &entry.bytes[entry.done..];
            let taken = rest.len().min(PIECE - bytes.len());
            bytes.extend(&rest[..taken]);
            entry.done += taken;
            if entry.done == entry.bytes.len() {
                self.entries.remove(first);
            }
        }
        Some(Chunk { stream, file, bytes })
    }

    /// Handles the result of writing a piece.
    pub(super) fn written(&mut self, mut chunk: Chunk, result: io::Result<usize>) {
        let target = &mut self.streams[chunk.stream];
        let length = match result {
            Ok(length) => length,
            Err(error) if is_passing(&error) => 0,
            Err(error) => {
                let gone = error.kind() == io::ErrorKind::BrokenPipe;
                if !gone {
                    target.lost += target.waiting as u64;
                    target.error.get_or_insert(error);
                }
                (target.file, target.waiting) = (None, 0);
                self.entries.retain(|entry| entry.stream != chunk.stream);
                return;
            }
        };
        target.waiting -= length;
        if length < chunk.bytes.len() {
            // Only this thread takes entries out, so earlier entries in the queue are for streams
            // that aren't ready.
            let at = self.entries.iter().position(|entry| entry.stream == chunk.stream);
            let bytes = chunk.bytes.split_off(length);
            let rest = Entry { stream: chunk.stream, bytes, done: 0 };
            self.entries.insert(at.unwrap_or(self.entries.len()), rest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of bytes that wait for a stream.
    pub(super) fn waiting(&self, stream: usize) -> usize {
        self.streams[stream].waiting
    }

    /// Whether too much waits for a stream.
    pub(super) fn is_full(&self, stream: usize) -> bool {
        self.waiting(stream) >= CAPACITY && !self.is_late()
    }

    /// The error that prevented output to a stream.
    pub(super) fn error(&self, stream: usize) -> Option<io::Error> {
        let error = self.streams[stream].error.as_ref()?;
        // An `io::Error` can't be copied; its error number says the same.
        Some(match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    /// Bytes of a stream that were not written, including bytes that still wait.
    pub(super) fn lost(&self, stream: usize) -> u64 {
        let target = &self.streams[stream];
        target.lost + target.waiting as u64
    }

    /// Closes a stream. Its number may then be used for another one.
    pub(super) fn close(&mut self, stream: usize) {
        self.entries.retain(|entry| entry.stream != stream);
        self.streams[stream] = Target::new(None);
    }

    pub(super) fn hurry(&mut self, until: Instant) {
        self.hurry.get_or_insert(until);
    }

    pub(super) fn relax(&mut self) {
        self.hurry = None;
    }

    pub(super) fn set_limit(&mut self, limit: Option<Instant>) {
        self.limit = limit;
    }

    /// Whether the time after which threads don't wait has passed.
    pub(super) fn is_late(&self) -> bool {
        [self.hurry, self.limit].into_iter().flatten().any(|until| Instant::now() >= until)
    }
}

/// An error after which the write can be tried again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
