//! The controlled scheduler: one host thread owns every vCPU, time is virtual, and the interrupt
//! controllers are emulated here. A run is a function of its choices.
//!
//! The memory that the guest's vCPUs share has no memory slot, so every access to it exits *before*
//! it takes effect. Each vCPU that can run is stopped before its next such access or port access; a
//! [`Choice`] says which vCPU performs its access next. Between two such accesses a vCPU uses
//! private memory only, so the order of the choices is the interleaving.

mod advance;
mod apic;
mod attention;
mod can_control;
mod check;
mod deliver;
mod device_access;
mod effects;
mod emulate;
mod endless;
mod faults;
mod granularity;
mod hang;
mod hang_budget;
mod hash;
mod hooks;
mod ipi_effect;
mod machine;
mod masked;
mod outcome;
mod platform;
mod polling;
mod quiet;
mod rdtsc;
mod repeatable;
mod run;
mod run_out;
mod runaway;
mod single;
mod snapshot;
mod standing;
mod step;
mod taking;
#[cfg(test)]
pub(crate) mod test_guest;
#[cfg(test)]
pub(crate) mod testing;
mod unsteppable;
mod vcpu_context;
mod virtual_tsc;
mod waiting;
mod walk;
mod writers;

use std::time::Duration;

pub use crate::choice::{Choice, Chooser, Point};
pub use attention::Attention;
pub use can_control::can_control;
pub use granularity::Granularity;
pub use hash::RunHash;
pub use machine::ControlledMachine;
pub use outcome::{Awaited, Waiter, Waits};
pub use snapshot::Snapshot;
pub use standing::{About, Standing};
pub use walk::{Boundary, Walk};
pub use writers::Store;

/// The time of day of the guest's real-time clock at virtual time 0, since 1970.
pub const START_OF_DAY: Duration = Duration::from_secs(devices::rtc::START_UNIX);
