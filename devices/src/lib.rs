//! Passive device models: they use no KVM, no threads, and no clock of their own.
//!
//! A [`Device`](device::Device) only answers calls: accesses of a vCPU, the passing of time, a
//! reset, the saving and restoring of its state. What it is connected to, a clock and an interrupt
//! controller, comes with each call as its [`Wiring`](device::Wiring), and its effect on the
//! machine is the result of the call, so every model can be tested without a machine. The
//! [`Bus`](bus::Bus) finds the device of an address.

#![forbid(unsafe_code)]

pub mod apics;
pub mod backdoor;
pub mod bus;
pub mod console;
pub mod control;
pub mod device;
pub mod ioapic;
pub mod ipi_faults;
pub mod lapic;
pub mod nmi_status;
pub mod pit;
pub mod power;
pub mod rtc;
#[cfg(test)]
mod testing;
pub mod virtio;
