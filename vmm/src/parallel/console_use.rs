//! What a vCPU's use of the console costs.

use std::time::{Duration, Instant};

use devices::console::{COM1, COM1_PORTS};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Exit;

/// A vCPU's use of the serial port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ConsoleUse {
    /// The number of its exits to the port: a driver makes several for a byte.
    pub exits: u64,
    /// How long the vCPU was out of the guest for them, also while it waited for the reader of the
    /// output. What KVM and the processor take for an exit is not part of it.
    #[serde(rename = "seconds", serialize_with = "crate::seconds::serialize")]
    #[schemars(with = "f64")]
    pub time: Duration,
}

impl ConsoleUse {
    /// Called when the vCPU has left the guest. The result is for [`ConsoleUse::end`].
    pub(super) fn begin(exit: &Exit) -> Option<Instant> {
        let (Exit::PortRead { port, .. } | Exit::PortWrite { port, .. }) = exit else {
            return None;
        };
        (COM1..COM1 + COM1_PORTS).contains(port).then(Instant::now)
    }

    /// Called before the vCPU enters the guest again.
    pub(super) fn end(&mut self, begin: Option<Instant>) {
        if let Some(begin) = begin {
            self.exits += 1;
            self.time += begin.elapsed();
        }
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
