//! Why a run ended, under either scheduler.

use std::fmt;

use crate::criteria::Met;
use crate::disassemble;
use crate::exit::Exit;

/// Why a run ended. Displayed as the verdict that a finding records; [`End::description`] is the
/// sentence of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest ended the run; code 0 is success, any other code is the guest's own failure code.
    Guest {
        /// The value that the guest wrote to port 0xf4.
        code: u32,
    },
    /// A criterion of the machine was met.
    Met(Met),
    /// The guest powered the machine off.
    PowerOff,
    /// The guest reset the machine. It isn't started again.
    Reset,
    /// Linux reported a panic on its console.
    Panic {
        /// What it said.
        message: String,
    },
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
    /// A hang: the vCPUs make no progress.
    Hang(HangEvidence),
    /// The guest idles: every started vCPU sleeps with interrupts enabled, and no interrupt is
    /// pending.
    Quiet {
        /// The vCPUs that were never started.
        unstarted: Vec<u32>,
    },
    /// The time limit was reached (parallel scheduler).
    TimeLimit,
    /// The time limit was reached, and no criterion of success was met (parallel scheduler).
    Missed,
    /// The limit of scheduling points was reached (controlled scheduler).
    Budget,
    /// A runaway: a vCPU reached no scheduling point for 2 s of processor time, because it computes
    /// or spins on private memory (controlled scheduler).
    Runaway {
        /// The vCPU that ran away.
        vcpu: u32,
    },
    /// A hook ended the run (parallel scheduler).
    Stopped {
        /// The hook's vCPU.
        vcpu: u32,
        /// The exit code; 0 means success.
        code: u32,
    },
    /// The user ended the run by a signal, for example Ctrl-C (parallel scheduler).
    Interrupted,
}

/// What shows that a machine hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangEvidence {
    /// The whole machine came back to the same state, so no vCPU will ever do anything else.
    Proof,
    /// No vCPU has made progress within the hang budget.
    Budget,
    /// The watchdog saw no activity within its window.
    Watchdog,
}

impl HangEvidence {
    /// Every kind of evidence.
    pub const ALL: [Self; 3] = [Self::Proof, Self::Budget, Self::Watchdog];
}

impl End {
    /// The end of a run by an exit that nothing answers.
    pub(crate) fn unanswered(vcpu: u32, exit: Exit) -> Self {
        match exit {
            Exit::Shutdown => Self::TripleFault { vcpu },
            exit => Self::Kvm { vcpu, exit },
        }
    }

    /// Whether the guest failed. A run that was cut short is not a failure.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Guest { code } | Self::Stopped { code, .. } => *code != 0,
            Self::Met(met) => met.failed,
            Self::Panic { .. }
            | Self::TripleFault { .. }
            | Self::Kvm { .. }
            | Self::Hang(_)
            | Self::Missed => true,
            Self::PowerOff
            | Self::Reset
            | Self::Quiet { .. }
            | Self::TimeLimit
            | Self::Budget
            | Self::Runaway { .. }
            | Self::Interrupted => false,
        }
    }

    /// Whether the guest ended successfully. A run that was cut short is neither a success nor a
    /// failure.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Guest { code } | Self::Stopped { code, .. } => *code == 0,
            Self::Met(met) => !met.failed,
            Self::PowerOff | Self::Reset | Self::Quiet { .. } => true,
            _ => false,
        }
    }

    /// The kind's name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Guest { code: 0 } => "success",
            Self::Guest { .. } => "guest-failure",
            Self::Met(Met { failed: false, .. }) => "ok",
            Self::Met(Met { failed: true, .. }) => "fail",
            Self::PowerOff => "power-off",
            Self::Reset => "reset",
            Self::Panic { .. } => "panic",
            Self::TripleFault { .. } => "triple-fault",
            Self::Kvm { .. } => "kvm-error",
            Self::Hang(_) => "hang",
            Self::Quiet { .. } => "quiet",
            Self::TimeLimit => "time-limit",
            Self::Missed => "missed",
            Self::Budget => "budget",
            Self::Runaway { .. } => "runaway",
            Self::Stopped { .. } => "stopped",
            Self::Interrupted => "interrupted",
        }
    }

    /// The end in a sentence.
    pub fn description(&self) -> impl fmt::Display + '_ {
        Description(self)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest { code: 0 } => f.write_str("success"),
            Self::Guest { code } => write!(f, "the guest's failure code {code}"),
            Self::Met(met) => met.fmt(f),
            Self::PowerOff => f.write_str("the guest powered the machine off"),
            Self::Reset => f.write_str("the guest reset the machine"),
            Self::Panic { message } => write!(f, "kernel panic: {message}"),
            Self::TripleFault { vcpu } => write!(f, "triple fault of vCPU {vcpu}"),
            Self::Kvm { vcpu, exit } => {
                write!(f, "vCPU {vcpu}: {} exit, which nothing here answers", exit.name())
            }
            Self::Hang(HangEvidence::Proof) => f.write_str("proven hang"),
            Self::Hang(HangEvidence::Budget) => f.write_str("hang, by budget"),
            Self::Hang(HangEvidence::Watchdog) => f.write_str("hang"),
            Self::Quiet { .. } => f.write_str("quiet: the guest idles"),
            Self::TimeLimit => f.write_str("time limit reached; no failure seen"),
            Self::Missed => f.write_str("time limit reached, and no criterion of success was met"),
            Self::Budget => f.write_str("out of budget"),
            Self::Runaway { vcpu } => {
                write!(f, "vCPU {vcpu} ran away: it reached no scheduling point")
            }
            Self::Stopped { vcpu, code: 0 } => write!(f, "vCPU {vcpu}: a script stopped the run"),
            Self::Stopped { vcpu, code } => {
                write!(f, "vCPU {vcpu}: a script stopped the run with failure code {code}")
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

struct Description<'a>(&'a End);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            End::Guest { code: 0 } => f.write_str("the guest ended the run: success"),
            End::Guest { code } => write!(f, "the guest ended the run with failure code {code}"),
            End::TripleFault { vcpu } => write!(f, "vCPU {vcpu}: triple fault"),
            End::Kvm { vcpu, exit } => write!(f, "vCPU {vcpu}: {}", KvmProblem(exit)),
            End::Quiet { unstarted } => {
                f.write_str("quiet: every vCPU sleeps and takes interrupts, and none is pending")?;
                write_unstarted(f, unstarted)
            }
            other => other.fmt(f),
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
