//! What a run comes to.

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
    /// The guest ended it: 0 is success, anything else the guest's own failure code.
    Guest {
        /// What it wrote to port 0xf4.
        code: u32,
    },
    /// A criterion of the machine's was met.
    Met(Met),
    /// A vCPU could not even deliver a double fault.
    TripleFault {
        /// Which one.
        vcpu: u32,
    },
    /// KVM could not go on.
    Kvm {
        /// The vCPU.
        vcpu: u32,
        /// What KVM said.
        exit: Exit,
    },
    /// No sign of life for as long as the watchdog waits.
    Hang,
    /// Every vCPU that was started sleeps and takes interrupts, and none is pending: a kernel that idles.
    Quiet {
        /// The vCPUs that were never started.
        unstarted: Vec<u32>,
    },
    /// The time limit.
    TimeLimit,
    /// The time limit, and nothing has come of what the run was to come to.
    Missed,
    /// A hook wanted it to end.
    Stopped {
        /// The vCPU that the hook looked at.
        vcpu: u32,
        /// 0 is no failure.
        code: u32,
    },
    /// A signal, such as Ctrl-C.
    Interrupted,
    /// jitterbug or the host broke.
    Broken(Error),
}

impl End {
    /// Whether this is a failure of the guest, as opposed to a run without one.
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

/// How often a vCPU left the guest, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExitCounts {
    /// Port reads.
    pub port_read: u64,
    /// Port writes.
    pub port_write: u64,
    /// Reads of memory that is no RAM.
    pub mmio_read: u64,
    /// Writes to memory that is no RAM.
    pub mmio_write: u64,
    /// Wake-ups of a waiting AP.
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

    /// All of them.
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
    /// Whether it ran, slept, or was never started.
    pub activity: Activity,
    /// General registers.
    pub registers: Registers,
    /// System registers.
    pub system: SystemRegisters,
}

/// What became of one vCPU.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct VcpuReport {
    /// Its number.
    pub vcpu: u32,
    /// Its exits.
    pub exits: ExitCounts,
    /// Where it was; taken unless the run was a success.
    pub state: Option<VcpuState>,
    /// The processor time that its thread has had.
    #[serde(rename = "processor_seconds", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub processor_time: Duration,
    /// The instruction pointers that the watchdog saw, each once, in ascending order.
    #[serde(serialize_with = "crate::hex::list")]
    #[schemars(with = "Vec<String>")]
    pub sampled_rips: Vec<u64>,
    /// How often it came to the instructions that hooks wanted to see, in ascending order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breakpoints: Vec<Hits>,
}

fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// From the first vCPU's start to the end.
    pub elapsed: Duration,
    /// When the watchdog saw the latest sign of life, on the same clock.
    pub alive: Duration,
    /// The vCPUs, in the order of their numbers.
    pub vcpus: Vec<VcpuReport>,
    /// The guest's memory as it was left.
    pub memory: Arc<Memory>,
    /// The files that hooks had the machine dumped to.
    pub dumps: Vec<PathBuf>,
    /// Dumps that were not written, because the run ended before all vCPUs stood still.
    pub missed_dumps: Vec<PathBuf>,
}
