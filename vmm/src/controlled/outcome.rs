//! The result of a controlled run.

use std::fmt;

use super::attention::Attention;
use super::writers::Store;
use crate::criteria::Met;
use crate::exit::{Bytes, Exit};
use crate::registers::{Registers, SystemRegisters};

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest ended the run; code 0 is success.
    Guest {
        /// The value that the guest wrote to port 0xf4.
        code: u32,
    },
    /// A criterion of the machine was met.
    Met(Met),
    /// A hang: no vCPU will ever do anything else.
    Hang {
        /// True if the whole machine came back to the same state; false if no vCPU has made
        /// progress within the hang budget.
        proven: bool,
    },
    /// The guest idles: no vCPU waits for anything, and the criteria allow such an end.
    Quiet,
    /// A triple fault, or KVM could not continue.
    Problem(Problem),
    /// The run reached its limit of scheduling points.
    Budget,
    /// A runaway: a vCPU reached no scheduling point for 2 s of processor time, because it computes
    /// or spins on private memory.
    Runaway {
        /// The vCPU that ran away.
        vcpu: u32,
    },
}

/// An exit that no device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The vCPU.
    pub vcpu: u32,
    /// Its exit.
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

    /// Whether the guest ended successfully. A run that was cut short is neither a success nor a
    /// failure.
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
    /// A SIPI: it was never started.
    ForSipi,
    /// An interrupt: it sleeps, and no interrupt is pending.
    ForInterrupt,
    /// A change of one of these values, which it reads repeatedly.
    ForChange(Vec<Awaited>),
    /// It loops, changes only its own state, and reads these values.
    Loop(Vec<Awaited>),
    /// Time to pass: it reads a clock repeatedly, and these values.
    ForTime(Vec<Awaited>),
    /// It is in an endless loop that reads nothing.
    Endless,
    /// Nothing: it could run on.
    Not,
}

/// A value that a vCPU waits to see changed.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// The guest-physical address.
    pub address: u64,
    /// The value that the vCPU reads there.
    pub value: Bytes,
    /// The last store to this address in this run.
    pub writer: Option<Store>,
}

/// One line of the table of waiting vCPUs.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// The vCPU.
    pub vcpu: u32,
    /// What it waits for.
    pub waits: Waits,
    /// Its interrupt state.
    pub attention: Attention,
    /// Its general-purpose registers.
    pub registers: Registers,
    /// Its system registers.
    pub system: SystemRegisters,
}
