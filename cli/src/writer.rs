//! Everything that the program prints, written by one thread.
//!
//! A reader who stops reading must stop nobody: not a vCPU, not the thread that watches for signals.
//! So whoever has something to print puts it into a queue, and one thread writes it, in the order in
//! which it came. It asks each terminal, pipe or file first whether it takes anything, and lets those
//! that do go before one that doesn't. The queue has a bound for each of them: who prints waits while
//! too much is waiting, as long as somebody may still read it. Once the end has come from outside (a
//! signal, the time limit), it waits for [`READER_GRACE`] in all; what hasn't been written then is counted,
//! told, and dropped.

mod queue;
mod thread;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use queue::Queue;

/// How many bytes may wait for a stream before those that print wait, too.
const CAPACITY: usize = 64 << 10;
/// How long readers have to take what is left once the end has come from outside.
const READER_GRACE: Duration = Duration::from_millis(500);
/// How long they have at the program's end, if that comes later.
const LAST_BYTES: Duration = Duration::from_millis(150);
/// How long standard error has after that, for what is still to be told.
const FINAL_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);
/// How often those that wait look whether there is still a reason to.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Where something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream(usize);

/// Standard output.
pub(crate) const OUTPUT: Stream = Stream(0);
/// Standard error.
pub(crate) const ERROR: Stream = Stream(1);

/// What all threads share.
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    work: Condvar,
    /// Something was written, or never will be.
    room: Condvar,
    /// Without a thread, everything is written by who prints it.
    has_thread: bool,
}

static SHARED: LazyLock<Arc<Shared>> = LazyLock::new(Shared::start);

/// Opens the standard streams, before other files take the descriptors that are left.
pub(crate) fn begin() {
    LazyLock::force(&SHARED);
}

impl Shared {
    fn start() -> Arc<Self> {
        let own = |fd: io::Result<std::os::fd::OwnedFd>| fd.map(File::from);
        let standard = [
            own(io::stdout().as_fd().try_clone_to_owned()),
            own(io::stderr().as_fd().try_clone_to_owned()),
        ];
        let shared = |has_thread| Self {
            queue: Mutex::new(Queue::new(standard.map(Result::ok))),
            work: Condvar::new(),
            room: Condvar::new(),
            has_thread,
        };
        let shared = Arc::new(shared(true));
        if thread::start(&shared).is_ok() {
            return shared;
        }
        // A user who may have no more threads is told so by others: it must be possible to tell.
        let standard =
            shared.lock().take_files().map(|file| file.and_then(|file| file.try_clone().ok()));
        Arc::new(Self {
            queue: Mutex::new(Queue::new(standard)),
            work: Condvar::new(),
            room: Condvar::new(),
            has_thread: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes into the queue, whatever waits there already.
    fn push(&self, mut queue: MutexGuard<Queue>, stream: Stream, bytes: Vec<u8>) {
        queue.push(stream.0, bytes);
        if self.has_thread {
            drop(queue);
            self.work.notify_one();
        } else {
            while let Some(mut chunk) = queue.take(|_| true) {
                let result = chunk.write();
                queue.written(chunk, result);
            }
        }
    }

    /// Waits until this holds, or there is no reason to wait any more.
    fn wait(&self, until: impl Fn(&Queue) -> bool) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        while !until(&queue) && !queue.is_late() {
            queue = self
                .room
                .wait_timeout(queue, POLL_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        queue
    }
}

impl Stream {
    /// Another file that the same thread writes.
    pub(crate) fn to(file: File) -> Self {
        Self(SHARED.lock().add(file))
    }

    /// Prints, and waits before that while too much is waiting.
    pub(crate) fn put(self, bytes: impl Into<Vec<u8>>) {
        let queue = SHARED.wait(|queue| !queue.is_full(self.0));
        SHARED.push(queue, self, bytes.into());
    }

    /// Prints and never waits: who prints so asks [`is_full`](Self::is_full) when it can wait.
    pub(crate) fn offer(self, bytes: impl Into<Vec<u8>>) {
        SHARED.push(SHARED.lock(), self, bytes.into());
    }

    /// Prints if next to nothing is waiting: for what is of no interest a moment later.
    pub(crate) fn show(self, bytes: impl Into<Vec<u8>>) {
        const MAX_PENDING_BYTES: usize = 4096;
        let queue = SHARED.lock();
        if queue.waiting(self.0) <= MAX_PENDING_BYTES {
            SHARED.push(queue, self, bytes.into());
        }
    }

    /// Whether who prints should wait.
    pub(crate) fn is_full(self) -> bool {
        SHARED.lock().is_full(self.0)
    }

    /// Waits until it has room.
    pub(crate) fn wait_for_room(self) {
        drop(SHARED.wait(|queue| !queue.is_full(self.0)));
    }

    /// It is done with: waits until all of it is written, and closes the file.
    pub(crate) fn close(self) -> io::Result<()> {
        let flushed = self.flush();
        SHARED.lock().close(self.0);
        flushed
    }

    /// Waits until all of it is written. What kept it from that: a reader who has gone away has said
    /// that it wants no more, and is no error.
    pub(crate) fn flush(self) -> io::Result<()> {
        let queue = SHARED.wait(|queue| queue.waiting(self.0) == 0);
        match (queue.error(self.0), queue.lost(self.0)) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, lost) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{lost} bytes were not written: nobody has taken them in time"),
            )),
        }
    }
}

/// What is logged, on standard error: an event at a time.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ERROR.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For what has to be written behind a lock: it never waits.
impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offer(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end has come from outside: readers have [`READER_GRACE`] from now on, unless it runs already.
pub(crate) fn hurry() {
    SHARED.lock().hurry(Instant::now() + READER_GRACE);
    SHARED.room.notify_all();
}

/// Something new begins: nobody has to hurry.
pub(crate) fn relax() {
    SHARED.lock().relax();
}

/// The program ends: waits until all is written, and tells what was not. What was made after the
/// deadline, such as a report, has its time as well: its reader may only be waiting for it.
pub(crate) fn finish() {
    let is_done = |queue: &Queue| (0..2).all(|stream| queue.waiting(stream) == 0);
    drop(SHARED.wait(is_done));
    let mut lost = 0;
    {
        let queue = SHARED.wait_till(Instant::now() + LAST_BYTES, is_done);
        if queue.error(OUTPUT.0).is_none() {
            lost = queue.lost(OUTPUT.0);
        }
    }
    if lost > 0 {
        let said =
            "jitterbug: standard output: {} bytes were not written: nobody has read them in time";
        ERROR.offer(said.replace("{}", &lost.to_string()) + "\n");
    }
    // Whoever reads it is told, however late it is.
    let end = Instant::now() + FINAL_FLUSH_TIMEOUT;
    drop(SHARED.wait_till(end, |queue| queue.waiting(ERROR.0) == 0));
}

impl Shared {
    fn wait_till(&self, end: Instant, until: impl Fn(&Queue) -> bool) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        while !until(&queue) && Instant::now() < end {
            queue = self
                .room
                .wait_timeout(queue, POLL_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        queue
    }
}
