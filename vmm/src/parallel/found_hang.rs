//! A hang that the watchdog has found, while the machine is examined and before the run ends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::end::End;

/// The verdict on a run that goes on for a while after it.
#[derive(Debug, Default)]
pub(super) struct FoundHang {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The verdict, and when it was reached.
    verdict: Option<(End, Duration)>,
    is_over: bool,
}

impl FoundHang {
    /// Sets the verdict. The first counts.
    pub(super) fn set(&self, verdict: End, now: Duration) {
        self.lock().verdict.get_or_insert((verdict, now));
        self.changed.notify_all();
    }

    /// The verdict, and when it was reached.
    pub(super) fn get(&self) -> Option<(End, Duration)> {
        self.lock().verdict.clone()
    }

    /// Tells those who wait that the run has ended.
    pub(super) fn run_is_over(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    /// Waits for the verdict; `None` if the run ends without one.
    pub(super) fn wait(&self) -> Option<End> {
        let mut state = self.lock();
        while state.verdict.is_none() && !state.is_over {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over {
            return None;
        }
        state.verdict.as_ref().map(|(verdict, _)| verdict.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
