//! The only module that uses the KVM API, and the only one with `unsafe` code.
//!
//! * [`host`]: opens `/dev/kvm` and queries its capabilities;
//! * [`vm`]: a virtual machine: its memory slots, its irqchip, its vCPUs;
//! * [`vcpu`]: one vCPU as a [`Cpu`](crate::cpu::Cpu);
//! * [`state`]: conversion between KVM's register structures and this crate's;
//! * [`kick`]: getting a vCPU out of the guest from another thread, or at a given time;
//! * [`debug`]: single steps, breakpoints, watchpoints;
//! * [`slots`]: additional memory slots, read-only slots, dirty logs;
//! * [`seccomp`]: the system calls that the program's threads may make, and `sigsys`: the message
//!   about another one;
//! * `dirty`: the pages that a guest has stored to, for snapshots;
//! * `inject`, `msr_exits`, `save`: interrupts, exits at MSR accesses, saving and restoring vCPUs.

mod capabilities;
pub mod debug;
mod dirty;
pub mod host;
mod inject;
pub mod kick;
mod msr_exits;
mod save;
pub mod seccomp;
mod sigsys;
pub mod slots;
pub mod state;
mod tsc;
pub mod vcpu;
pub mod vm;

pub use capabilities::DebugCapabilities;
pub(crate) use capabilities::StepCapabilities;
pub(crate) use dirty::DirtyLog;
pub use host::Host;
pub(crate) use msr_exits::MsrExits;
pub use msr_exits::has_msr_filter;
pub(crate) use save::{CpuState, ExtendedRestore};
pub use vcpu::KvmCpu;
pub use vm::{Irqchip, KvmIrqchip, Vm};

use crate::error::Error;

/// Creates the error for a failed KVM call with this name.
fn failed(call: &'static str) -> impl Fn(kvm_ioctls::Error) -> Error {
    move |errno| Error::Kvm { call, source: errno.into() }
}
