//! A handle by which other threads control a run: they stop its vCPUs to look at the machine, pause
//! and resume it, and send NMIs.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::control::Control;
use super::status::{RunStatus, Standstill, Stopped};

/// The interval at which a caller that waits for the vCPUs checks whether the run has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a caller waits for its work on the stopped machine once the run has ended.
const END_TIMEOUT: Duration = Duration::from_millis(300);

/// Controls the run that was last started with this handle ([`Options::remote`]). Copies control
/// the same run, and may be used on any thread except those of the vCPUs.
///
/// [`Options::remote`]: super::Options::remote
#[derive(Clone, Default)]
pub struct Remote {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    run: Mutex<Option<Arc<Control>>>,
    /// A run has begun.
    begun: Condvar,
}

/// No machine runs: none has been started yet, or its run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no machine is running: the run has ended, or none has begun")]
pub struct NotRunning;

impl Remote {
    /// Connects the handle with a run, until the guard is dropped.
    pub(super) fn attach(&self, run: Arc<Control>) -> Attached<'_> {
        *self.lock() = Some(run);
        self.shared.begun.notify_all();
        Attached(self)
    }

    /// Waits until a machine runs, at most for this time. After a run that has ended, another may
    /// follow.
    pub fn wait_for_machine(&self, timeout: Duration) {
        let is_missing =
            |run: &mut Option<Arc<Control>>| run.as_ref().is_none_or(|run| run.is_over());
        drop(self.shared.begun.wait_timeout_while(self.lock(), timeout, is_missing));
    }

    /// Pauses the run, and returns when all vCPUs have left the guest. Returns false if it was
    /// paused already. The time of the pause doesn't count for the time limit, and the watchdog
    /// waits. The guest's clocks go on.
    pub fn pause(&self) -> Result<bool, NotRunning> {
        let changed = self.control()?.pause();
        self.when_stopped(|_| ())?;
        Ok(changed)
    }

    /// Ends the pause and the suspension of a run, which then goes on unless a debugger has stopped
    /// it. Returns which of the two there were.
    pub fn resume(&self) -> Result<Vec<Standstill>, NotRunning> {
        Ok(self.control()?.resume_all())
    }

    /// Stops all vCPUs, has `look` called on another thread, and lets the vCPUs go on, unless the
    /// run is paused. Returns what `look` returned; fails if the run ends before that.
    pub fn when_stopped<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Stopped) -> T + Send + 'static,
    ) -> Result<T, NotRunning> {
        let control = self.control()?;
        let (answer, answers) = channel();
        control.when_stopped(Box::new(move |stopped| drop(answer.send(look(stopped)))));
        let mut over: Option<Instant> = None;
        loop {
            match answers.recv_timeout(POLL_INTERVAL) {
                Ok(answer) => return Ok(answer),
                // The work was dropped, because the run has ended.
                Err(RecvTimeoutError::Disconnected) => return Err(NotRunning),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if control.is_over() && over.get_or_insert_with(Instant::now).elapsed() > END_TIMEOUT {
                return Err(NotRunning);
            }
        }
    }

    /// Sends NMIs to vCPUs: bit n stands for vCPU n. A vCPU that waits for its SIPI takes none. A
    /// paused vCPU takes it when the run goes on.
    pub fn send_nmis(&self, targets: u64) -> Result<(), NotRunning> {
        self.control()?.send_nmis(targets);
        Ok(())
    }

    /// For each vCPU, the instruction pointers that the watchdog has sampled since the guest was
    /// last active, in ascending order; none without a watchdog.
    pub fn sampled_rips(&self) -> Result<Vec<Vec<u64>>, NotRunning> {
        Ok(self.control()?.tracks().iter().map(|track| track.rips().to_vec()).collect())
    }

    /// The status of the run.
    pub fn status(&self) -> Result<RunStatus, NotRunning> {
        Ok(self.control()?.status())
    }

    pub(super) fn control(&self) -> Result<Arc<Control>, NotRunning> {
        self.lock().clone().filter(|control| !control.is_over()).ok_or(NotRunning)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Control>>> {
        self.shared.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

/// Disconnects the handle when it is dropped.
pub(super) struct Attached<'a>(&'a Remote);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
