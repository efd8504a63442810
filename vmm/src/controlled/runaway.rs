//! Noticing a vCPU that reaches no scheduling point.
//!
//! A vCPU that spins on private memory never exits by itself. A timer interrupts whoever runs, now and
//! then, and counts how long no point has been passed, in processor time of the thread: a busy host
//! doesn't make a guest look slow. When the vCPU is looked at is the host's matter; what comes of it is
//! not (`endless.rs`), but for the end of the run after [`LIMIT`], which is not repeatable.

use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::error::Result;
use crate::kvm::kick::Alarm;

/// Processor time from one alarm to the next.
const PERIOD: Duration = Duration::from_millis(20);
/// So many alarms without a scheduling point are too many: two seconds of processor time.
const LIMIT: u32 = 100;

/// Watches over the runs of a machine. The alarm goes on from one run to the next: setting it anew
/// for each would cost a short run a third of its time.
#[derive(Debug)]
pub(super) struct RunawayTimer {
    _alarm: Alarm,
    /// Whose vCPUs the alarm interrupts.
    thread: ThreadId,
    /// Points passed in all runs.
    passed: u64,
    /// How many there were at the last alarm; `None` if a run has begun since.
    seen: Option<u64>,
    /// Alarms in a row without a point between them.
    alarms: u32,
    /// How many of those are too many.
    limit: u32,
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
        alarm.repeat(PERIOD)?;
        Ok(Self {
            _alarm: alarm,
            thread: thread::current().id(),
            passed: 0,
            seen: None,
            alarms: 0,
            limit: LIMIT,
        })
    }

    /// A run begins on the calling thread.
    pub(super) fn begin(timer: &mut Option<Self>) -> Result<()> {
        match timer {
            Some(timer) if timer.thread == thread::current().id() => timer.seen = None,
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
        let alarms = |time: Duration| (time.as_micros() / PERIOD.as_micros()) as u32;
        self.limit = time.map_or(LIMIT, |time| alarms(time).clamp(1, LIMIT));
    }

    /// A kick has come.
    pub(super) fn overdue(&mut self) -> Overdue {
        let before = self.seen.replace(self.passed);
        self.alarms = if before == Some(self.passed) { self.alarms + 1 } else { 0 };
        match self.alarms {
            0 => Overdue::No,
            alarms if alarms >= self.limit => Overdue::RunAway,
            // Looking takes time, too: seldom, if it goes on for long.
            alarms if alarms.is_power_of_two() => Overdue::LookAtIt,
            _ => Overdue::No,
        }
    }
}
