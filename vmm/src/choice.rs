//! Scheduling points and the choices that they offer.

use std::fmt;

/// An event that can happen next. A run of the controlled scheduler is a function of the machine's
/// configuration and the sequence of these choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Choice {
    /// This vCPU performs the access that it is stopped before, and runs to its next one.
    Step(u32),
    /// This vCPU takes its pending interrupt first.
    Interrupt(u32),
    /// At this vCPU, the fault with this number of the machine's configuration strikes (the first
    /// has number 1). A fault of an IPI also performs the access that sends it.
    Fault(u32, u8),
}

impl Choice {
    /// The vCPU that runs by this choice.
    pub fn vcpu(self) -> u32 {
        match self {
            Self::Step(vcpu) | Self::Interrupt(vcpu) | Self::Fault(vcpu, _) => vcpu,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(vcpu) => write!(f, "vCPU {vcpu}"),
            Self::Interrupt(vcpu) => write!(f, "vCPU {vcpu}'s interrupt"),
            Self::Fault(vcpu, number) => write!(f, "fault {number} at vCPU {vcpu}"),
        }
    }
}

/// A scheduling point: a [`Chooser`] decides what happens next.
#[derive(Debug)]
pub struct Point<'a> {
    /// The point's number, counted from 0.
    pub number: u64,
    /// What can happen, in ascending order; never empty. vCPUs that wait for a value to change,
    /// that sleep, or that were never started are not included.
    pub enabled: &'a [Choice],
    /// The faults that can strike here. A chooser may take one in place of what happens by itself.
    pub faults: &'a [Choice],
    /// The vCPU that ran last.
    pub last: Option<u32>,
    /// The RIP of that vCPU at its exit.
    pub rip: u64,
    /// The run's hash so far.
    pub hash: u64,
}

impl Point<'_> {
    /// Whether this choice can be made here.
    pub fn offers(&self, choice: Choice) -> bool {
        self.enabled.contains(&choice) || self.faults.contains(&choice)
    }
}

/// Decides what happens next: a search strategy, or the replay of a schedule.
pub trait Chooser {
    /// Returns an element of [`Point::enabled`] or of [`Point::faults`]. Any other choice is an
    /// error of the run.
    fn choose(&mut self, point: &Point) -> Choice;
}

impl<F: FnMut(&Point) -> Choice> Chooser for F {
    fn choose(&mut self, point: &Point) -> Choice {
        self(point)
    }
}
