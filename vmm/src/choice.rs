//! Scheduling points and what can be chosen there.

use std::fmt;

/// Something that can happen next. A run of the controlled scheduler is a function of the machine's
/// configuration and the list of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Choice {
    /// This vCPU does the access that it stands before, and runs to its next one.
    Step(u32),
    /// This vCPU takes its pending interrupt first.
    Interrupt(u32),
}

impl Choice {
    /// The vCPU that runs.
    pub fn vcpu(self) -> u32 {
        match self {
            Self::Step(vcpu) | Self::Interrupt(vcpu) => vcpu,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(vcpu) => write!(f, "vCPU {vcpu}"),
            Self::Interrupt(vcpu) => write!(f, "vCPU {vcpu}'s interrupt"),
        }
    }
}

/// A scheduling point: somebody has to say what happens next.
#[derive(Debug)]
pub struct Point<'a> {
    /// Counts from 0.
    pub number: u64,
    /// What can happen, in ascending order; never empty. vCPUs that wait for a value to change,
    /// sleep, or were never started are not among them.
    pub enabled: &'a [Choice],
    /// The vCPU that ran last.
    pub last: Option<u32>,
    /// Where that vCPU stands: its RIP at the exit.
    pub rip: u64,
    /// The run's hash so far.
    pub hash: u64,
}

/// Decides what happens next: a search strategy, or a schedule that is replayed.
pub trait Chooser {
    /// One of [`Point::enabled`]. Anything else is an error of the run.
    fn choose(&mut self, point: &Point) -> Choice;
}

impl<F: FnMut(&Point) -> Choice> Chooser for F {
    fn choose(&mut self, point: &Point) -> Choice {
        self(point)
    }
}
