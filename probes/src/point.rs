//! Probe points: every one that `VProbes` documents, those that are jitterbug's own, and what each
//! needs of the machine.
//!
//! A point is *fixed* (it has a name of its own, [`Fixed`]), a *timer* with its period, or an
//! *address* with what is done there. Which of them can be had depends on the driver: it offers
//! [`Mechanisms`], and a script that names a point without its mechanism is refused.

mod address;
mod fixed;
mod parse;
mod table;

use std::fmt;
use std::time::Duration;

use bitflags::bitflags;

use crate::symbols::Symbols;

pub use address::{Access, Address};
pub use fixed::{Class, Fixed};
pub use parse::{NoPoint, find};
pub use table::{Row, rows};

bitflags! {
    /// What a driver can do so that points fire.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mechanisms: u16 {
        /// It shows exits and entries to hooks.
        const EXITS = 1;
        /// It stops vCPUs at instructions.
        const BREAKPOINTS = 1 << 1;
        /// It stops vCPUs after each instruction.
        const STEPS = 1 << 2;
        /// It stops vCPUs at accesses to memory.
        const WATCHES = 1 << 3;
        /// It shows interrupts before they are delivered.
        const INTERRUPTS = 1 << 4;
        /// It shows faults before they are delivered.
        const FAULTS = 1 << 5;
        /// It shows accesses to model-specific registers.
        const MSRS = 1 << 6;
        /// It has the local APICs, and shows HLT, INIT and IPIs.
        const APICS = 1 << 7;
        /// It has scheduling points.
        const SCHEDULING = 1 << 8;
        /// It says when the guest hangs.
        const HANGS = 1 << 9;
    }
}

impl Mechanisms {
    /// What the parallel driver shows to hooks.
    pub const PARALLEL: Self = Self::EXITS;
    /// What the controlled driver shows to hooks.
    pub const CONTROLLED: Self = Self::EXITS;

    /// Why a point can't be had whose mechanism is missing.
    pub(crate) fn lack(self) -> &'static str {
        match self {
            Self::EXITS => "this driver doesn't show exits to probes",
            Self::BREAKPOINTS => "this driver sets no breakpoints in the guest",
            Self::STEPS => "this driver doesn't step the guest",
            Self::WATCHES => "this driver doesn't watch the guest's memory for probes",
            Self::INTERRUPTS => "KVM's irqchip delivers interrupts, and doesn't tell this driver",
            Self::FAULTS => "KVM delivers the guest's faults, and doesn't tell this driver",
            Self::MSRS => "this driver doesn't filter model-specific registers",
            Self::APICS => "KVM's irqchip has the local APICs, and doesn't tell this driver",
            Self::SCHEDULING => "this driver has no scheduling points: its vCPUs run by themselves",
            Self::HANGS => "this driver doesn't tell probes of a hang",
            _ => "this driver can't",
        }
    }
}

impl Default for Mechanisms {
    fn default() -> Self {
        Self::PARALLEL
    }
}

/// What points are looked up in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// What the driver can do.
    pub mechanisms: Mechanisms,
    /// The guest's symbols, for points at names.
    pub symbols: Option<&'a Symbols>,
    /// Runs are to come out the same each time, so that nothing of the host may show.
    pub repeatable: bool,
}

/// A point at which a probe fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// One that has a name of its own.
    Fixed(Fixed),
    /// A timer.
    Timer(Timer),
    /// An address of the guest.
    Address(Address),
}

/// Fires again and again. A vCPU's timers tick from its start on; one that was never started has
/// no ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The time between two ticks.
    pub period: Duration,
    /// `PROFILE`: each tick is at a place of its period that looks random, so that what the guest
    /// does periodically is seen in all its parts. The others tick at multiples of their period.
    pub sampling: bool,
    /// Once for the machine (`VMX1Hz`) instead of on every vCPU.
    pub machine: bool,
}

impl Point {
    /// A point by its fixed name.
    pub const fn fixed(fixed: Fixed) -> Self {
        Self::Fixed(fixed)
    }

    /// The timer, if it is one.
    pub fn timer(self) -> Option<Timer> {
        match self {
            Self::Timer(timer) => Some(timer),
            Self::Fixed(_) | Self::Address(_) => None,
        }
    }

    /// Whether it fires in the context of a vCPU, whose registers can then be read. The others
    /// fire once for the machine.
    pub fn is_in_vcpu(self) -> bool {
        match self {
            Self::Fixed(fixed) => !matches!(fixed, Fixed::VmxLoad | Fixed::VmxUnload),
            Self::Timer(timer) => !timer.machine,
            Self::Address(_) => true,
        }
    }

    /// Whether it fires at the end, even if the script was unloaded before.
    pub fn is_unload(self) -> bool {
        matches!(self, Self::Fixed(Fixed::VmmUnload | Fixed::VmxUnload))
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.machine { "VMX" } else { "VMM" };
        let kind = if self.sampling { "PROFILE" } else { "TIMER" };
        let microseconds = self.period.as_micros();
        let (count, unit) = match microseconds {
            us if us % 1_000_000 == 0 => (us / 1_000_000, "sec"),
            us if us % 1000 == 0 => (us / 1000, "msec"),
            us => (us, "usec"),
        };
        write!(f, "{domain}:{kind}:{count}{unit}")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(fixed) => f.write_str(fixed.name()),
            Self::Timer(timer) => timer.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "point_tests.rs"]
mod tests;
