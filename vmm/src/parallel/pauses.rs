//! Whether the vCPUs have to stay out of the guest, and for how long a user has kept them there.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who pauses a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pauser {
    /// The remote control, until it resumes the run.
    Remote = 1,
    /// A debugger, which may let a single vCPU make a step meanwhile.
    Debugger = 2,
}

/// A hook suspends a run until SIGCONT. The remote control and a debugger pause it until they
/// resume it. All of them keep all vCPUs out of the guest. Only the time of a pause doesn't count
/// for the time limit: a script may have suspended a run that no user watches.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    suspended: AtomicBool,
    /// The [`Pauser`]s, a bit for each.
    paused: AtomicU8,
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

    /// Begins a pause. Returns whether there was none by this pauser.
    pub(super) fn pause(&self, by: Pauser, now: Duration) -> bool {
        let mut time = self.time();
        time.since.get_or_insert(now);
        self.paused.fetch_or(by as u8, Ordering::SeqCst) & by as u8 == 0
    }

    /// Ends the pause by this pauser. Returns whether there was one.
    pub(super) fn end_pause(&self, by: Pauser, now: Duration) -> bool {
        let mut time = self.time();
        let before = self.paused.fetch_and(!(by as u8), Ordering::SeqCst);
        if before == by as u8
            && let Some(since) = time.since.take()
        {
            time.past += now.saturating_sub(since);
        }
        before & by as u8 != 0
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::SeqCst)
    }

    pub(super) fn is_paused_by(&self, by: Pauser) -> bool {
        self.paused.load(Ordering::SeqCst) & by as u8 != 0
    }

    /// Whether the vCPUs have to stay out of the guest; `steps`: all but one that makes a step for
    /// a debugger.
    pub(super) fn hold_vcpu(&self, steps: bool) -> bool {
        let paused = self.paused.load(Ordering::SeqCst);
        let exempt = if steps { Pauser::Debugger as u8 } else { 0 };
        self.is_suspended() || paused & !exempt != 0
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
