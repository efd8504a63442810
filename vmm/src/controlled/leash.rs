//! Getting a vCPU back that reaches no scheduling point.
//!
//! A vCPU that spins on private memory never exits by itself. An alarm kicks whoever runs, now and
//! then; if no point has been passed since the last one, that vCPU has run away. The host's time
//! decides nothing else, and a run that ends so is not repeatable.

use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::error::Result;
use crate::kvm::kick::Alarm;

/// How long a vCPU may run from one scheduling point to the next: between this and twice this.
const LENGTH: Duration = Duration::from_secs(1);

/// Watches over the runs of a machine. The alarm goes on from one run to the next: setting it anew
/// for each would cost a short run a third of its time.
#[derive(Debug)]
pub(super) struct Leash {
    _alarm: Alarm,
    /// Whose vCPUs the alarm kicks.
    thread: ThreadId,
    /// Points passed in all runs.
    passed: u64,
    /// How many there were at the last alarm; `None` if a run has begun since.
    seen: Option<u64>,
}

impl Leash {
    /// Watches the vCPUs that the calling thread runs. They must be bound to it.
    fn new() -> Result<Self> {
        let mut alarm = Alarm::new()?;
        // It goes on by itself: a kick may come where nobody looks, at the end of an access.
        alarm.repeat(LENGTH)?;
        Ok(Self { _alarm: alarm, thread: thread::current().id(), passed: 0, seen: None })
    }

    /// A run begins on the calling thread.
    pub(super) fn begin(leash: &mut Option<Self>) -> Result<()> {
        match leash {
            Some(leash) if leash.thread == thread::current().id() => leash.seen = None,
            _ => *leash = Some(Self::new()?),
        }
        Ok(())
    }

    /// A scheduling point has been passed.
    pub(super) fn pass(&mut self) {
        self.passed += 1;
    }

    /// A kick has come. True if the vCPU that runs has run away.
    pub(super) fn pulls(&mut self) -> bool {
        let before = self.seen.replace(self.passed);
        before == Some(self.passed)
    }
}
