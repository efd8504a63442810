//! Noticing a vCPU that reaches no scheduling point.
//!
//! A vCPU that spins on private memory never exits by itself. A timer interrupts whoever runs, now and
//! then, and counts how long no point has been passed, in processor time of the thread: a busy host
//! doesn't make a guest look slow. When the vCPU is looked at is the host's matter; what comes of it is
//! not (`endless.rs`), but for the end of the run after [`RUNAWAY_LIMIT`], which is not repeatable.
//!
//! A guest that has an endless loop comes into it in most of its runs. Once one is found, the alarm comes more
//! often, and a vCPU that is in it is looked at without delay.

use std::collections::HashSet;
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::error::Result;
use crate::kvm::kick::Alarm;
use crate::thread_time::thread_time;

/// From one alarm to the next, in processor time of the thread.
const ALARM_INTERVAL: Duration = Duration::from_millis(20);
/// The same in guests with an endless loop, in time by the clock on the wall.
const LOOP_ALARM_INTERVAL: Duration = Duration::from_millis(1);
/// So much processor time without a scheduling point is too much.
const RUNAWAY_LIMIT: Duration = Duration::from_secs(2);
/// So many places of endless loops are kept. Loops beyond them are found after [`ALARM_INTERVAL`].
const MAX_LOOP_PLACES: usize = 10_000;

/// Watches over the runs of a machine. The alarm goes on from one run to the next: setting it anew
/// for each would cost a short run a third of its time.
#[derive(Debug)]
pub(super) struct RunawayTimer {
    alarm: Alarm,
    /// Whose vCPUs the alarm interrupts.
    thread: ThreadId,
    /// Points passed in all runs.
    passed: u64,
    /// The first alarm of those between which no point was passed; `None` if a run has begun since.
    first: Option<First>,
    /// How much time after that is too much.
    limit: Duration,
    /// Where vCPUs have been in endless loops: values of RIP.
    places: HashSet<u64>,
}

/// The first alarm of some.
#[derive(Debug)]
struct First {
    /// The points that had been passed.
    passed: u64,
    /// The thread's processor time.
    at: Duration,
    /// The time after it when the vCPU is to be looked at, wherever it is.
    look: Duration,
    /// The same at a place of an endless loop.
    look_at_place: Duration,
}

/// What an alarm says of the vCPU that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It has not been running for long.
    No,
    /// It may be in an endless loop.
    LookAtIt,
    /// It has had all the time that it may have.
    RunAway,
}

impl RunawayTimer {
    /// Watches the vCPUs that the calling thread runs. They must be bound to it.
    fn new() -> Result<Self> {
        let mut alarm = Alarm::of_thread_time()?;
        // It goes on by itself: a kick may come where nobody looks, at the end of an access.
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

    /// A run begins on the calling thread.
    pub(super) fn begin(timer: &mut Option<Self>) -> Result<()> {
        match timer {
            Some(timer) if timer.thread == thread::current().id() => timer.first = None,
            _ => *timer = Some(Self::new()?),
        }
        Ok(())
    }

    /// A scheduling point has been passed.
    pub(super) fn pass(&mut self) {
        self.passed += 1;
    }

    /// A vCPU may run for so long without a point from now on, as far as alarms tell it; `None`: for as long
    /// as usual.
    pub(super) fn set_limit(&mut self, time: Option<Duration>) {
        self.limit = time.unwrap_or(RUNAWAY_LIMIT).min(RUNAWAY_LIMIT);
    }

    /// There is an endless loop, whose instructions are at these values of RIP.
    pub(super) fn found(&mut self, places: impl IntoIterator<Item = u64>) -> Result<()> {
        if self.places.is_empty() {
            // The clock of a thread's time is looked at by the host's scheduling tick, of 4 or 10 ms.
            self.alarm = Alarm::new()?;
            self.alarm.repeat(LOOP_ALARM_INTERVAL)?;
        }
        self.places.extend(places.into_iter().take(MAX_LOOP_PLACES - self.places.len()));
        Ok(())
    }

    /// A kick has come while the vCPU was at `rip`.
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
        // Looking takes time, too: seldom, if it goes on for long.
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
