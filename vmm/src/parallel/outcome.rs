//! The outcome of a parallel run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::console_use::ConsoleUse;
use crate::breakpoints::Hits;
use crate::end::End;
use crate::exit::Exit;
use crate::memory::Memory;
use crate::registers::{Activity, Registers, SystemRegisters};
use crate::watchpoints::WatchReport;

/// The numbers of exits of a vCPU, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExitCounts {
    /// Port reads.
    pub port_read: u64,
    /// Port writes.
    pub port_write: u64,
    /// Reads of addresses outside RAM.
    pub mmio_read: u64,
    /// Writes to addresses outside RAM.
    pub mmio_write: u64,
    /// Wake-ups of an AP that waits for its SIPI.
    pub ap_start: u64,
    /// Kicks from the host: ticks, jitter, the watchdog.
    pub kicked: u64,
    /// Everything else.
    pub other: u64,
}

impl ExitCounts {
    pub(super) fn count(&mut self, exit: &Exit) {
        *match exit {
            Exit::PortRead { .. } => &mut self.port_read,
            Exit::PortWrite { .. } => &mut self.port_write,
            Exit::MmioRead { .. } => &mut self.mmio_read,
            Exit::MmioWrite { .. } => &mut self.mmio_write,
            Exit::ApStart => &mut self.ap_start,
            Exit::Kicked => &mut self.kicked,
            _ => &mut self.other,
        } += 1;
    }

    /// The number of all exits.
    pub fn total(&self) -> u64 {
        self.port_read
            + self.port_write
            + self.mmio_read
            + self.mmio_write
            + self.ap_start
            + self.kicked
            + self.other
    }
}

/// A vCPU's state when the run ended.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub struct VcpuState {
    /// Whether the vCPU ran, slept, or was never started.
    pub activity: Activity,
    /// Its general-purpose registers.
    pub registers: Registers,
    /// Its system registers.
    pub system: SystemRegisters,
}

impl VcpuState {
    /// Whether the vCPU was started and is in the state after a reset (Intel SDM, volume 3A, table
    /// 10-1), in which it has executed nothing yet. KVM resets a vCPU at its triple fault on AMD
    /// processors, so what it did before is lost (`shutdown_interception` in
    /// `arch/x86/kvm/svm/svm.c`).
    pub fn is_reset(&self) -> bool {
        const PROTECTED_MODE: u64 = 1;
        self.activity != Activity::WaitForSipi
            && self.registers.rip == 0xfff0
            && self.system.cs.base == 0xffff_0000
            && self.system.cr0 & PROTECTED_MODE == 0
    }
}

/// The report on one vCPU.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct VcpuReport {
    /// The vCPU's number.
    pub vcpu: u32,
    /// The numbers of its exits.
    pub exits: ExitCounts,
    /// Its state at the end of the run; absent if the run was a success.
    pub state: Option<VcpuState>,
    /// The processor time of its thread.
    #[serde(rename = "processor_seconds", serialize_with = "crate::seconds::serialize")]
    #[schemars(with = "f64")]
    pub processor_time: Duration,
    /// What its use of the console cost.
    pub console_use: ConsoleUse,
    /// The instruction pointers that the watchdog sampled, without duplicates, in ascending order.
    #[serde(serialize_with = "crate::hex::list")]
    #[schemars(with = "Vec<String>")]
    pub sampled_rips: Vec<u64>,
    /// What watching the guest's data cost; absent if hooks watch none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watching: Option<WatchReport>,
    /// How often the vCPU reached each of the hooks' breakpoints, in ascending order of their
    /// addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breakpoints: Vec<Hits>,
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Why the run ended.
    pub end: End,
    /// The time from the machine's start to the end of the run.
    pub elapsed: Duration,
    /// The time of the latest activity that the watchdog saw, on the same clock.
    pub alive: Duration,
    /// The vCPUs, in the order of their numbers.
    pub vcpus: Vec<VcpuReport>,
    /// The guest's memory at the end of the run.
    pub memory: Arc<Memory>,
    /// The dump files that hooks have had written.
    pub dumps: Vec<PathBuf>,
    /// The dumps that were not written, or not completely, because the run ended before all vCPUs
    /// had stopped or the dump was finished.
    pub missed_dumps: Vec<PathBuf>,
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
