//! Writes everything that the program prints, in one thread.
//!
//! A reader that stops reading must not stop a vCPU, or the thread that waits for signals. So every
//! thread puts its output into a queue, and one thread writes it, in order. That thread first polls
//! each terminal, pipe or file, and writes to those that are ready before those that aren't. The
//! queue is bounded for each stream: a thread that prints waits while too much is queued. Once a
//! signal or the time limit has ended the run, readers have [`READER_GRACE`] in total; what hasn't
//! been written by then is counted, reported, and dropped.

mod queue;
mod thread;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use queue::Queue;

/// How many bytes may be queued for a stream before threads that print to it have to wait.
const CAPACITY: usize = 64 << 10;
/// The longest line that is held back.
const MAX_LINE: usize = 4096;
/// How long readers have for the rest of the output after a signal or the time limit.
const READER_GRACE: Duration = Duration::from_millis(500);
/// How long readers have at the program's end, if that comes later.
const LAST_BYTES: Duration = Duration::from_millis(150);
/// How long standard error has after the readers' time, for the last messages.
const FINAL_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);
/// How often a waiting thread checks whether it still has a reason to wait.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A destination of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream(usize);

/// Standard output.
pub(crate) const OUTPUT: Stream = Stream(0);
/// Standard error.
pub(crate) const ERROR: Stream = Stream(1);

/// The state that all threads share.
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is something to write.
    work: Condvar,
    /// Signalled when something was written, or has been dropped.
    room: Condvar,
    /// Without a writer thread, every thread writes its own output.
    has_thread: bool,
}

static SHARED: LazyLock<Arc<Shared>> = LazyLock::new(Shared::start);

/// Duplicates the standard streams before other files can take their descriptors.
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
        // A user who may not start more threads still has to get error messages.
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

    /// Adds bytes to the queue, even if it is full.
    fn push(&self, mut queue: MutexGuard<Queue>, stream: Stream, bytes: Vec<u8>) {
        queue.push(stream.0, bytes);
        self.pushed(queue);
    }

    /// Has what was queued written.
    fn pushed(&self, mut queue: MutexGuard<Queue>) {
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

    /// Waits until the condition holds, or until there is no reason to wait any more.
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
    /// Adds another file to which the same thread writes.
    pub(crate) fn to(file: File) -> Self {
        Self(SHARED.lock().add(file))
    }

    /// Prints. Waits first while too much is queued.
    pub(crate) fn put(self, bytes: impl Into<Vec<u8>>) {
        let queue = SHARED.wait(|queue| !queue.is_full(self.0));
        SHARED.push(queue, self, bytes.into());
    }

    /// Prints without waiting. The caller asks [`is_full`](Self::is_full) where it can wait.
    pub(crate) fn offer(self, bytes: impl Into<Vec<u8>>) {
        SHARED.push(SHARED.lock(), self, bytes.into());
    }

    /// Prints without waiting, line by line. A line that doesn't go on is printed after at most
    /// 50 ms, without its end.
    pub(crate) fn hold(self, bytes: &[u8]) {
        let mut queue = SHARED.lock();
        let begins = queue.hold(self.0, bytes);
        if bytes.contains(&b'\n') || queue.held(self.0) >= MAX_LINE {
            queue.release(self.0);
            SHARED.pushed(queue);
        } else if begins {
            drop(queue);
            SHARED.work.notify_one();
        }
    }

    /// Prints what is held.
    pub(crate) fn release(self) {
        let mut queue = SHARED.lock();
        queue.release(self.0);
        SHARED.pushed(queue);
    }

    /// Prints only if almost nothing is queued: for text that is out of date a moment later.
    pub(crate) fn show(self, bytes: impl Into<Vec<u8>>) {
        const MAX_PENDING_BYTES: usize = 4096;
        let queue = SHARED.lock();
        if queue.waiting(self.0) <= MAX_PENDING_BYTES {
            SHARED.push(queue, self, bytes.into());
        }
    }

    /// Whether a thread that prints should wait.
    pub(crate) fn is_full(self) -> bool {
        SHARED.lock().is_full(self.0)
    }

    /// Waits until the stream has room.
    pub(crate) fn wait_for_room(self) {
        drop(SHARED.wait(|queue| !queue.is_full(self.0)));
    }

    /// Waits until everything is written, and closes the file.
    pub(crate) fn close(self) -> io::Result<()> {
        let flushed = self.flush();
        SHARED.lock().close(self.0);
        flushed
    }

    /// Waits until everything is written. Returns the error that prevented it. A reader that has
    /// closed its end wants no more output, which is not an error.
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

/// The log, on standard error, one event at a time.
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

/// For output that is written while a lock is held: it never waits.
impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offer(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Called when a signal or the time limit ends the run: readers have [`READER_GRACE`] from now on,
/// unless that time has already begun.
pub(crate) fn hurry() {
    SHARED.lock().hurry(Instant::now() + READER_GRACE);
    SHARED.room.notify_all();
}

/// Sets the time limit of a search, or removes it: once it has passed, readers have
/// [`READER_GRACE`]. The search itself may wait for a reader then.
pub(crate) fn limit(time: Option<Duration>) {
    let limit = time.and_then(|time| Instant::now().checked_add(time.saturating_add(READER_GRACE)));
    SHARED.lock().set_limit(limit);
}

/// Called when a new run begins: readers have unlimited time again.
pub(crate) fn relax() {
    SHARED.lock().relax();
}

/// Does something on the thread that writes, and returns its result; `None` if there is no such
/// thread, or it is busy with a reader for too long.
pub(crate) fn on_thread<T: Send + 'static>(
    errand: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    if !SHARED.has_thread {
        return None;
    }
    let (done, result) = channel();
    SHARED.lock().add_errand(Box::new(move || drop(done.send(errand()))));
    SHARED.work.notify_one();
    result.recv_timeout(TIMEOUT).ok()
}

/// Called at the program's end: waits until everything is written, and reports what was not. Output
/// from after the deadline, such as a report, still gets some time, because its reader may be
/// waiting for it.
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
    // This message gets its time even if the deadline has passed.
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
