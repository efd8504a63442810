//! What a controlled run comes to.

use std::fmt;

use super::attention::Attention;
use super::writers::Store;
use crate::criteria::Met;
use crate::exit::{Bytes, Exit};
use crate::registers::{Registers, SystemRegisters};

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest ended it: 0 is success.
    Guest {
        /// What it wrote to port 0xf4.
        code: u32,
    },
    /// A criterion of the machine's was met.
    Met(Met),
    /// No vCPU will ever do anything else again.
    Hang {
        /// The whole machine came back to the same state; otherwise nobody has made progress for
        /// as long as the hang budget allows.
        proven: bool,
    },
    /// The guest idles: no vCPU waits for anything, and it is one that may.
    Quiet,
    /// A triple fault, or KVM could not go on.
    Problem(Problem),
    /// The run took more scheduling points than it was given.
    Budget,
    /// A vCPU reached no scheduling point for a second or more: it spins on private memory.
    Runaway {
        /// Which one.
        vcpu: u32,
    },
}

/// An exit that nothing answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The vCPU.
    pub vcpu: u32,
    /// What it said.
    pub exit: Exit,
}

impl Ending {
    /// Whether the guest failed.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Guest { code } => *code != 0,
            Self::Met(met) => met.failed,
            Self::Hang { .. } | Self::Problem(_) => true,
            Self::Quiet | Self::Budget | Self::Runaway { .. } => false,
        }
    }

    /// Whether the guest came to a good end. Neither that nor a failure is a run that was cut short.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Guest { code } => *code == 0,
            Self::Met(met) => !met.failed,
            Self::Quiet => true,
            Self::Hang { .. } | Self::Problem(_) | Self::Budget | Self::Runaway { .. } => false,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest { code: 0 } => f.write_str("success"),
            Self::Guest { code } => write!(f, "the guest's failure code {code}"),
            Self::Met(met) => met.fmt(f),
            Self::Hang { proven: true } => f.write_str("proven hang"),
            Self::Hang { proven: false } => f.write_str("hang, by budget"),
            Self::Quiet => f.write_str("quiet: the guest idles"),
            Self::Problem(Problem { vcpu, exit: Exit::Shutdown }) => {
                write!(f, "triple fault of vCPU {vcpu}")
            }
            Self::Problem(Problem { vcpu, exit }) => {
                write!(f, "vCPU {vcpu}: {} exit, which nothing here answers", exit.name())
            }
            Self::Budget => f.write_str("out of budget"),
            Self::Runaway { vcpu } => {
                write!(f, "vCPU {vcpu} ran away: it reached no scheduling point")
            }
        }
    }
}

/// What a vCPU waits for.
#[derive(Clone, Debug)]
pub enum Waits {
    /// It was never started.
    ForSipi,
    /// It sleeps, and no interrupt is on its way.
    ForInterrupt,
    /// It reads these again and again.
    ForChange(Vec<Awaited>),
    /// It goes round a loop that changes only state of its own, and reads these.
    Loop(Vec<Awaited>),
    /// It reads a clock again and again, and these.
    ForTime(Vec<Awaited>),
    /// It goes round an endless loop that reads nothing.
    Endless,
    /// It could run on.
    Not,
}

/// A value that a vCPU waits to see changed.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Guest-physical address.
    pub address: u64,
    /// What it reads there.
    pub value: Bytes,
    /// Who wrote it last, in this run.
    pub writer: Option<Store>,
}

/// One line of the who-waits-for-what table.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// The vCPU.
    pub vcpu: u32,
    /// What it waits for.
    pub waits: Waits,
    /// How it stands to interrupts.
    pub attention: Attention,
    /// Where it is.
    pub registers: Registers,
    /// Its system registers.
    pub system: SystemRegisters,
}
