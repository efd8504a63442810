//! What a vCPU's use of the consoles costs.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

/// A vCPU's use of the serial port and of the virtio console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ConsoleUse {
    /// The number of its exits to them: a driver of the serial port makes several for a byte.
    pub exits: u64,
    /// How long the vCPU was out of the guest for them, also while it waited for the reader of the
    /// output. What KVM and the processor take for an exit is not part of it.
    #[serde(rename = "seconds", serialize_with = "crate::seconds::serialize")]
    #[schemars(with = "f64")]
    pub time: Duration,
}

impl ConsoleUse {
    /// Counts an exit to a console. `begin` is when the vCPU had left the guest for it; it is about
    /// to enter the guest again.
    pub(super) fn count(&mut self, begin: Instant) {
        self.exits += 1;
        self.time += begin.elapsed();
    }

    /// Adds the use of another vCPU.
    pub fn add(&mut self, other: &Self) {
        self.exits += other.exits;
        self.time += other.time;
    }
}

#[cfg(test)]
#[path = "console_use_tests.rs"]
mod tests;
