//! Passive device models: no KVM, no threads, no clock of their own.
//!
//! A device is asked and answers. What it wants of the machine it returns as an [`Effect`], and
//! what it needs of the world (an interrupt line, a writer) it is given when it is made, so every
//! model here runs in a test without a machine.

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
