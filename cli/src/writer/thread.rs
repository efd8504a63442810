//! The thread that writes all output.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

use super::Shared;
use super::queue::Queue;

/// How long the thread waits for a stream that isn't ready before it checks for output to other
/// streams.
const POLL_TIMEOUT_MS: u8 = 20; // milliseconds

/// How often the thread looks at lines that wait for their end. A line that has not grown from one
/// look to the next is written as it is, so a prompt appears within twice this time. Looking takes
/// the place of waking the thread for each byte.
const LOOK: Duration = Duration::from_millis(25);

/// Starts the thread. It never ends by itself; the end of the process ends it, perhaps during a
/// write.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = shared.clone();
    // A new thread inherits the signal mask of the thread that starts it. The writer must receive
    // no signals but that of a forbidden system call, which is the thread's own.
    let before = SigSet::thread_get_mask()?;
    let mut others = SigSet::all();
    others.remove(Signal::SIGSYS);
    others.thread_block()?;
    let started = Builder::new().name("writer".into()).spawn(move || run(&shared));
    before.thread_set_mask()?;
    started.map(drop)
}

fn run(shared: &Shared) {
    let mut next_look = None;
    loop {
        let mut queue = wait_for_work(shared, &mut next_look);
        let errands = queue.take_errands();
        let wanted = queue.wanted();
        drop(queue);
        for errand in errands {
            errand();
        }
        let ready = ready(&wanted);
        let Some(mut chunk) = shared.lock().take(|stream| ready.contains(&stream)) else {
            continue;
        };
        let result = chunk.write();
        shared.lock().written(chunk, result);
        shared.room.notify_all();
    }
}

/// Waits until something is to be written. `next_look` is when to look at what is held.
fn wait_for_work<'a>(shared: &'a Shared, next_look: &mut Option<Instant>) -> MutexGuard<'a, Queue> {
    let mut queue = shared.lock();
    loop {
        let now = Instant::now();
        if next_look.is_some_and(|look| look <= now) {
            *next_look = None;
            queue.look();
        }
        if queue.is_watched() {
            next_look.get_or_insert(now + LOOK);
        }
        if !queue.is_empty() || queue.has_errands() {
            return queue;
        }
        queue = match next_look {
            Some(look) => {
                let waited = shared.work.wait_timeout(queue, *look - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

/// The streams that are ready, or have an error.
fn ready(wanted: &[(usize, Arc<File>)]) -> Vec<usize> {
    let mut files: Vec<_> =
        wanted.iter().map(|(_, file)| PollFd::new(file.as_fd(), PollFlags::POLLOUT)).collect();
    // If the call itself fails, every write is tried, and reports the error.
    let all = poll(&mut files, PollTimeout::from(POLL_TIMEOUT_MS)).is_err();
    let is_ready = |file: &PollFd| all || file.any() == Some(true);
    let of_ready = wanted.iter().zip(&files).filter(|(_, file)| is_ready(file));
    of_ready.map(|((stream, _), _)| *stream).collect()
}
