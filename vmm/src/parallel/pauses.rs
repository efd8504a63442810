//! Whether the vCPUs have to stay out of the guest, and for how long a user has kept them there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A hook suspends a run until SIGCONT. The remote control pauses it until it resumes it. Both keep
/// all vCPUs out of the guest. Only the time of a pause doesn't count for the time limit: a script
/// may have suspended a run that no user watches.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    suspended: AtomicBool,
    paused: AtomicBool,
    time: Mutex<PausedTime>,
}

#[derive(Debug, Default)]
struct PausedTime {
    /// The time of the pauses that are over.
    past: Duration,
    /// When the present pause began.
    since: Option<Duration>,
}

impl Pauses {
    pub(super) fn suspend(&self) {
        self.suspended.store(true, Ordering::SeqCst);
    }

    /// Ends the suspension by a hook. Returns whether there was one.
    pub(super) fn end_suspension(&self) -> bool {
        self.suspended.swap(false, Ordering::SeqCst)
    }

    /// Begins a pause. Returns whether there was none.
    pub(super) fn pause(&self, now: Duration) -> bool {
        let mut time = self.time();
        time.since.get_or_insert(now);
        !self.paused.swap(true, Ordering::SeqCst)
    }

    /// Ends the pause. Returns whether there was one.
    pub(super) fn end_pause(&self, now: Duration) -> bool {
        let mut time = self.time();
        if let Some(since) = time.since.take() {
            time.past += now.saturating_sub(since);
        }
        self.paused.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::SeqCst)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Whether the vCPUs have to stay out of the guest.
    pub(super) fn hold_vcpus(&self) -> bool {
        self.is_suspended() || self.is_paused()
    }

    /// The time in pauses so far.
    pub(super) fn paused_time(&self, now: Duration) -> Duration {
        let time = self.time();
        let present = time.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        time.past + present
    }

    fn time(&self) -> MutexGuard<'_, PausedTime> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "pauses_tests.rs"]
mod tests;
