//! The outcome of a parallel run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::breakpoints::Hits;
use crate::criteria::Met;
use crate::disassemble;
use crate::error::Error;
use crate::exit::Exit;
use crate::memory::Memory;
use crate::registers::{Activity, Registers, SystemRegisters};

/// Why a run ended.
#[derive(Debug)]
pub enum End {
    /// The guest ended the run; code 0 is success, any other code is the guest's own failure code.
    Guest {
        /// The value that the guest wrote to port 0xf4.
        code: u32,
    },
    /// A criterion of the machine was met.
    Met(Met),
    /// A triple fault: a vCPU could not deliver a double fault.
    TripleFault {
        /// The vCPU.
        vcpu: u32,
    },
    /// KVM could not continue.
    Kvm {
        /// The vCPU.
        vcpu: u32,
        /// The exit that KVM reported.
        exit: Exit,
    },
    /// The watchdog found a hang: no activity within its window.
    Hang,
    /// Every started vCPU sleeps with interrupts enabled, and no interrupt is pending: the kernel
    /// idles.
    Quiet {
        /// The vCPUs that were never started.
        unstarted: Vec<u32>,
    },
    /// The time limit was reached.
    TimeLimit,
    /// The time limit was reached, and no criterion of success was met.
    Missed,
    /// A hook ended the run.
    Stopped {
        /// The hook's vCPU.
        vcpu: u32,
        /// The exit code; 0 means success.
        code: u32,
    },
    /// The user ended the run by a signal, for example Ctrl-C.
    Interrupted,
    /// jitterbug or the host failed.
    Broken(Error),
}

impl End {
    /// Whether the guest failed. A run that was cut short is not a failure.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Guest { code } | Self::Stopped { code, .. } => *code != 0,
            Self::Met(met) => met.failed,
            Self::TripleFault { .. } | Self::Kvm { .. } | Self::Hang | Self::Missed => true,
            Self::Quiet { .. } | Self::TimeLimit | Self::Interrupted | Self::Broken(_) => false,
        }
    }

    /// The kind's name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Guest { code: 0 } => "success",
            Self::Guest { .. } => "guest-failure",
            Self::Met(Met { failed: false, .. }) => "ok",
            Self::Met(Met { failed: true, .. }) => "fail",
            Self::TripleFault { .. } => "triple-fault",
            Self::Kvm { .. } => "kvm-error",
            Self::Hang => "hang",
            Self::Quiet { .. } => "quiet",
            Self::TimeLimit => "time-limit",
            Self::Missed => "missed",
            Self::Stopped { .. } => "stopped",
            Self::Interrupted => "interrupted",
            Self::Broken(_) => "broken",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest { code: 0 } => write!(f, "the guest ended the run: success"),
            Self::Guest { code } => write!(f, "the guest ended the run with failure code {code}"),
            Self::Met(met) => met.fmt(f),
            Self::TripleFault { vcpu } => write!(f, "vCPU {vcpu}: triple fault"),
            Self::Kvm { vcpu, exit } => write!(f, "vCPU {vcpu}: {}", KvmProblem(exit)),
            Self::Hang => write!(f, "hang"),
            Self::Quiet { unstarted } => {
                write!(f, "quiet: every vCPU sleeps and takes interrupts, and none is pending")?;
                write_unstarted(f, unstarted)
            }
            Self::TimeLimit => write!(f, "time limit reached; no failure seen"),
            Self::Missed => write!(f, "time limit reached, and no criterion of success was met"),
            Self::Stopped { vcpu, code: 0 } => write!(f, "vCPU {vcpu}: a script stopped the run"),
            Self::Stopped { vcpu, code } => {
                write!(f, "vCPU {vcpu}: a script stopped the run with failure code {code}")
            }
            Self::Interrupted => write!(f, "interrupted"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

fn write_unstarted(f: &mut fmt::Formatter<'_>, vcpus: &[u32]) -> fmt::Result {
    match vcpus {
        [] => Ok(()),
        [one] => write!(f, "; vCPU {one} was never started"),
        many => {
            let numbers: Vec<_> = many.iter().map(u32::to_string).collect();
            write!(f, "; vCPUs {} were never started", numbers.join(", "))
        }
    }
}

struct KvmProblem<'a>(&'a Exit);

impl fmt::Display for KvmProblem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exit::InternalError { suberror: 1, instruction } if instruction.is_empty() => {
                write!(f, "KVM internal error: it can't emulate the instruction at RIP")
            }
            Exit::InternalError { suberror: 1, instruction } => {
                let text = disassemble::one(instruction, 0, 64);
                let bytes: Vec<_> = instruction.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(
                    f,
                    "KVM internal error: it can't emulate `{text}` (bytes {})",
                    bytes.join(" ")
                )
            }
            Exit::InternalError { suberror, .. } => {
                write!(f, "KVM internal error, suberror {suberror}")
            }
            Exit::FailEntry { reason } => {
                write!(f, "the processor refused the guest's state (reason {reason:#x})")
            }
            Exit::Unexpected { reason } => {
                write!(f, "KVM exit {reason}, which nothing here asks for")
            }
            other => write!(f, "{} exit, which nothing here answers", other.name()),
        }
    }
}

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
    #[serde(rename = "processor_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub processor_time: Duration,
    /// The instruction pointers that the watchdog sampled, without duplicates, in ascending order.
    #[serde(serialize_with = "crate::hex::list")]
    #[schemars(with = "Vec<String>")]
    pub sampled_rips: Vec<u64>,
    /// How often the vCPU reached each of the hooks' breakpoints, in ascending order of their
    /// addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breakpoints: Vec<Hits>,
}

fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
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
