//! Which run is next.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Gives out the numbers of the runs, in ascending order and each once.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many runs there are in all.
    runs: u64,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// The first run that is not to be given out yet.
    end: u64,
    /// What [`Ticket::length`] will be.
    length: u64,
    closed: bool,
}

/// A run to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) run: u64,
    /// How many choices there are in a run, as far as that is known.
    pub(super) length: u64,
}

impl Queue {
    /// Gives out so many runs, and none after `time`; at first only those below `end`.
    pub(super) fn new(runs: u64, end: u64, time: Option<Duration>) -> Self {
        let state = State { next: 0, end, length: 0, closed: false };
        // A time too far away to be told is none.
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        Self { state: Mutex::new(state), changed: Condvar::new(), runs, deadline }
    }

    /// The next run; waits for [`Queue::open`]. `None` if there is none any more.
    pub(super) fn take(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if state.closed || late || state.next >= self.runs {
                return None;
            }
            if state.next < state.end {
                let ticket = Ticket { run: state.next, length: state.length };
                state.next += 1;
                return Some(ticket);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives out the runs below `end`, too, and tells them this length.
    pub(super) fn open(&self, end: u64, length: u64) {
        let mut state = self.lock();
        (state.end, state.length) = (end, length);
        self.changed.notify_all();
    }

    /// Gives out nothing any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether it was closed: a run that is being made has become pointless.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
