//! Detects a vCPU that reaches no scheduling point.
//!
//! A vCPU that spins on private memory never exits by itself. A timer interrupts the running vCPU
//! at intervals. The time without a scheduling point is measured as processor time of the thread,
//! so a busy host doesn't make a guest look slow. The host determines when a vCPU is examined, but
//! not the result (`endless.rs`). The only exception is the end of the run after [`RUNAWAY_LIMIT`],
//! which is not repeatable.
//!
//! A guest with an endless loop enters it in most of its runs. Once a loop has been found, the
//! alarm comes more often, and a vCPU that is in a known loop is examined without delay.

use std::collections::HashSet;
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::error::Result;
use crate::kvm::kick::Alarm;
use crate::thread_time::thread_time;

/// The interval between alarms, in processor time of the thread.
const ALARM_INTERVAL: Duration = Duration::from_millis(20);
/// The interval for guests with a known endless loop, in wall-clock time.
const LOOP_ALARM_INTERVAL: Duration = Duration::from_millis(1);
/// A vCPU without a scheduling point for this much processor time is a runaway.
const RUNAWAY_LIMIT: Duration = Duration::from_secs(2);
/// The maximum number of addresses in endless loops that are recorded. Loops beyond these are found
/// after [`ALARM_INTERVAL`].
const MAX_LOOP_PLACES: usize = 10_000;

/// Supervises the runs of a machine. The alarm stays armed from one run to the next: arming it for
/// each run would cost a short run a third of its time.
#[derive(Debug)]
pub(super) struct RunawayTimer {
    alarm: Alarm,
    /// The thread whose vCPUs the alarm interrupts.
    thread: ThreadId,
    /// The number of scheduling points passed in all runs.
    passed: u64,
    /// The first alarm since the last scheduling point; `None` if there was none, or if a run has
    /// begun since.
    first: Option<First>,
    /// The time after this alarm at which a vCPU counts as a runaway.
    limit: Duration,
    /// The known addresses (RIP) of instructions in endless loops.
    places: HashSet<u64>,
}

/// The first alarm since a scheduling point.
#[derive(Debug)]
struct First {
    /// The number of points that had been passed.
    passed: u64,
    /// The thread's processor time at the alarm.
    at: Duration,
    /// The time after the alarm at which the vCPU is to be examined.
    look: Duration,
    /// The same for a vCPU at a known address of an endless loop.
    look_at_place: Duration,
}

/// The verdict on the running vCPU at an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It has not run for long.
    No,
    /// It may be in an endless loop and has to be examined.
    LookAtIt,
    /// It has used all the time that a vCPU may run without a scheduling point.
    RunAway,
}

impl RunawayTimer {
    /// Creates a timer for the vCPUs that the calling thread runs. They must be bound to this
    /// thread.
    fn new() -> Result<Self> {
        let mut alarm = Alarm::of_thread_time()?;
        // The alarm repeats by itself: a kick may come where it is not handled, at the end of an
        // access.
        alarm.repeat(ALARM_INTERVAL)?;
        Ok(Self {
            alarm,
            thread: thread::current().id(),
            passed: 0,
            first: None,
            limit: RUNAWAY_LIMIT,
            places: HashSet::new(),
        })
    }

    /// Called when a run begins on the calling thread.
    pub(super) fn begin(timer: &mut Option<Self>) -> Result<()> {
        match timer {
            Some(timer) if timer.thread == thread::current().id() => timer.first = None,
            _ => *timer = Some(Self::new()?),
        }
        Ok(())
    }

    /// Records a scheduling point.
    pub(super) fn pass(&mut self) {
        self.passed += 1;
    }

    /// Limits the time for which a vCPU may run without a scheduling point, as measured by alarms;
    /// `None` restores the default.
    pub(super) fn set_limit(&mut self, time: Option<Duration>) {
        self.limit = time.unwrap_or(RUNAWAY_LIMIT).min(RUNAWAY_LIMIT);
    }

    /// Records an endless loop whose instructions are at these values of RIP.
    pub(super) fn found(&mut self, places: impl IntoIterator<Item = u64>) -> Result<()> {
        if self.places.is_empty() {
            // Thread-time clocks are checked only at the host's scheduling tick, every 4 or 10 ms.
            self.alarm = Alarm::new()?;
            self.alarm.repeat(LOOP_ALARM_INTERVAL)?;
        }
        self.places.extend(places.into_iter().take(MAX_LOOP_PLACES - self.places.len()));
        Ok(())
    }

    /// Called for a kick that came while the vCPU was at `rip`.
    pub(super) fn overdue(&mut self, rip: impl FnOnce() -> Result<u64>) -> Result<Overdue> {
        self.overdue_at(thread_time(), rip)
    }

    fn overdue_at(&mut self, now: Duration, rip: impl FnOnce() -> Result<u64>) -> Result<Overdue> {
        let passed = self.passed;
        let Some(first) = self.first.as_mut().filter(|first| first.passed == passed) else {
            let (look, look_at_place) = (ALARM_INTERVAL / 2, LOOP_ALARM_INTERVAL / 2);
            self.first = Some(First { passed, at: now, look, look_at_place });
            return Ok(Overdue::No);
        };
        let time = now.saturating_sub(first.at);
        if time >= self.limit {
            return Ok(Overdue::RunAway);
        }
        // Examining a vCPU takes time, so it is done less and less often.
        if time >= first.look {
            (first.look, first.look_at_place) = (2 * time, 2 * time);
            return Ok(Overdue::LookAtIt);
        }
        let may_be = !self.places.is_empty() && time >= first.look_at_place;
        if may_be && self.places.contains(&rip()?) {
            first.look_at_place = 2 * time;
            return Ok(Overdue::LookAtIt);
        }
        Ok(Overdue::No)
    }
}

#[cfg(test)]
#[path = "runaway_tests.rs"]
mod tests;
