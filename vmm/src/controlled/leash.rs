//! Getting a vCPU back that reaches no scheduling point.
//!
//! A vCPU that spins on private memory never exits by itself. An alarm kicks whoever runs, now and
//! then; if no point has been passed since the last one, that vCPU has run away. The host's time
//! decides nothing else, and a run that ends so is not repeatable.

use std::time::Duration;

use crate::error::Result;
use crate::kvm::kick::Alarm;

/// How long a vCPU may run from one scheduling point to the next: between this and twice this.
const LENGTH: Duration = Duration::from_secs(1);

/// Watches over a run.
#[derive(Debug)]
pub(super) struct Leash {
    alarm: Alarm,
    /// The points passed at the last alarm.
    points: u64,
}

impl Leash {
    /// Watches the vCPUs that the calling thread runs from now on. They must be bound to it.
    pub(super) fn new(points: u64) -> Result<Self> {
        let mut alarm = Alarm::new()?;
        alarm.set(LENGTH)?;
        Ok(Self { alarm, points })
    }

    /// A kick has come. True if the vCPU that runs has run away.
    pub(super) fn pulls(&mut self, points: u64) -> Result<bool> {
        if self.points == points {
            return Ok(true);
        }
        self.points = points;
        self.alarm.set(LENGTH)?;
        Ok(false)
    }
}
