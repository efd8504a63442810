//! Passive device models: they use no KVM, no threads, and no clock of their own.
//!
//! A device only answers calls. It returns the effect that it has on the machine as an [`Effect`],
//! and it gets its connections (an interrupt line, a writer) when it is created, so every model can
//! be tested without a machine.

#![forbid(unsafe_code)]

pub mod backdoor;
pub mod bus;
pub mod console;
pub mod control;
pub mod ioapic;
pub mod lapic;
pub mod pit;
pub mod rtc;

pub use bus::{Effect, PortBus, PortDevice};
