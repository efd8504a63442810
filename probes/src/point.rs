//! Probe points: all points that `VProbes` documents, jitterbug's own points, and what each of them
//! needs of the machine.
//!
//! A point is *fixed* (it has a name of its own, [`Fixed`]), a *timer* with its period, an
//! *address* with the access to it that fires the probe, or a *model-specific register*. Which
//! points are available depends on the scheduler: it provides [`Mechanisms`], and a script that
//! names a point whose mechanism is missing is refused.

mod about;
mod address;
mod fixed;
mod found;
mod mechanism;
mod msr;
mod parse;
mod place;
mod table;

use std::fmt;
use std::time::Duration;

use inspect::Symbols;
use vmm::boot::segments::Segments;

pub use about::{NoRow, Price, matching};
pub use address::{Access, Address};
pub use fixed::{Class, Fixed};
pub use found::{Found, NoPoint};
pub use mechanism::Mechanisms;
pub use msr::{Msr, USUAL};
pub use parse::find;
pub use table::{Row, rows};

/// What the lookup of a probe point depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// The mechanisms that the scheduler provides.
    pub mechanisms: Mechanisms,
    /// The guest's symbols, for points at names.
    pub symbols: Option<&'a Symbols>,
    /// Whether every run must be the same, so that scripts can't see anything of the host.
    pub repeatable: bool,
    /// Where the guest's image is in memory, for points at data.
    pub segments: Option<&'a Segments>,
    /// Whether scripts may change what the guest does and write files.
    pub destructive: bool,
}

/// A point at which a probe fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A point that has a name of its own.
    Fixed(Fixed),
    /// A timer.
    Timer(Timer),
    /// An address of the guest.
    Address(Address),
    /// A model-specific register, by its number.
    Msr(Msr),
}

/// A periodic timer. A vCPU's timers fire only after the vCPU has been started, so an AP that is
/// never started has no ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The time between two ticks.
    pub period: Duration,
    /// `PROFILE`: each tick is at a pseudo-random time in its period, so that the samples cover all
    /// phases of what the guest does periodically. Other timers tick at multiples of their period.
    pub sampling: bool,
    /// Whether the timer ticks once for the machine (`VMX1Hz`) and not on every vCPU.
    pub machine: bool,
}

impl Point {
    /// The point of a fixed name.
    pub const fn fixed(fixed: Fixed) -> Self {
        Self::Fixed(fixed)
    }

    /// The mechanism of the scheduler and the host that the point needs.
    pub fn mechanism(self) -> Mechanisms {
        match self {
            Self::Fixed(fixed) => fixed.mechanism(),
            Self::Timer(_) => Mechanisms::empty(),
            Self::Address(address) => address.access.mechanism(),
            Self::Msr(_) => Mechanisms::MSRS,
        }
    }

    /// The timer, if the point is one.
    pub fn timer(self) -> Option<Timer> {
        match self {
            Self::Timer(timer) => Some(timer),
            Self::Fixed(_) | Self::Address(_) | Self::Msr(_) => None,
        }
    }

    /// The address, if the point is at one.
    pub fn address(self) -> Option<Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Fixed(_) | Self::Timer(_) | Self::Msr(_) => None,
        }
    }

    /// Whether the point fires in the context of a vCPU, whose registers can then be read. Other
    /// points fire once for the machine.
    pub fn is_in_vcpu(self) -> bool {
        match self {
            Self::Fixed(fixed) => !matches!(fixed, Fixed::VmxLoad | Fixed::VmxUnload),
            Self::Timer(timer) => !timer.machine,
            Self::Address(_) | Self::Msr(_) => true,
        }
    }

    /// Whether the point fires at the end of the run, even if the script was unloaded before.
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
            Self::Msr(msr) => msr.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "point_tests.rs"]
mod tests;
