//! The virtual machine monitor: guest memory, vCPUs, boot, devices, the two schedulers, and the
//! points where hooks attach.
//!
//! Build a [`Machine`] from a [`MachineConfig`], attach [hooks](hook), and run it with
//! [`parallel::run`]; the [`controlled`] module runs a machine one scheduling point at a time. This
//! crate knows no probe language and no search strategy: it provides mechanisms, and the crates
//! above it decide how to use them.

#![deny(unsafe_code)]

mod assembly;
mod at_places;
mod board;
pub mod boot;
pub mod breakpoints;
mod cancel;
mod choice;
pub mod config;
pub mod controlled;
pub mod cpu;
pub mod criteria;
pub mod disassemble;
pub mod disk;
pub mod doctor;
pub mod dump;
pub mod end;
pub mod error;
pub mod exit;
pub mod fault;
mod granularity;
pub mod guest_debug;
pub mod hex;
pub mod hook;
pub mod identity;
mod injectable;
pub mod instruction;
pub mod jitter;
#[allow(unsafe_code)]
pub mod kvm;
pub mod limits;
pub mod machine;
pub mod memory;
mod msr;
pub mod paging;
pub mod parallel;
pub mod registers;
pub mod run_faults;
pub mod scripted;
mod seconds;
pub mod signals;
mod snapshot;
#[cfg(test)]
mod testing;
mod thread_time;
pub mod trapped;
mod unsupported;
mod virtio;
mod virtio_slots;
pub mod watchdog;
pub mod watchpoints;

pub use cancel::Cancel;
pub use config::{CpuCount, GuestImage, MachineConfig};
pub use criteria::Criteria;
pub use disk::DiskConfig;
pub use end::End;

pub use error::{Error, ErrorClass, Result};
pub use fault::FaultSpec;
pub use kvm::Host;
pub use machine::Machine;
