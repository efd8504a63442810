//! Gives out the numbers of the runs to the threads of a search.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::strategy::Lesson;

/// Gives out the numbers of the runs, in ascending order and each once.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// The total number of runs.
    runs: u64,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// The current round. Runs after its end are not given out yet.
    lesson: Arc<Lesson>,
    closed: bool,
}

/// A run to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) run: u64,
    pub(super) lesson: Arc<Lesson>,
}

/// How long after the deadline a run may last that was begun before it.
const RUN_GRACE: Duration = Duration::from_secs(1);

impl Queue {
    /// Gives out `runs` runs, none of them after `time`; at first only the runs of this round.
    pub(super) fn new(runs: u64, lesson: Arc<Lesson>, time: Option<Duration>) -> Self {
        let state = State { next: 0, lesson, closed: false };
        // A time too far away to represent means no deadline.
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        Self { state: Mutex::new(state), changed: Condvar::new(), runs, deadline }
    }

    /// The next run. Waits for [`Queue::open`] at the end of a round. `None` if there are no more
    /// runs.
    pub(super) fn take(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if state.closed || late || state.next >= self.runs {
                return None;
            }
            if state.next < state.lesson.end {
                let ticket = Ticket { run: state.next, lesson: state.lesson.clone() };
                state.next += 1;
                return Some(ticket);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives out the runs of the next round.
    pub(super) fn open(&self, lesson: Arc<Lesson>) {
        self.lock().lesson = lesson;
        self.changed.notify_all();
    }

    /// Gives out no more runs.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether the queue was closed or its deadline passed more than [`RUN_GRACE`] ago: a run that
    /// is still being made is then of no use.
    pub(super) fn is_closed(&self) -> bool {
        let end = self.deadline.and_then(|deadline| deadline.checked_add(RUN_GRACE));
        end.is_some_and(|end| Instant::now() >= end) || self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
