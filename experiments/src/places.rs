//! Where vCPUs stood at the switches of a schedule, so that another build of the guest can be
//! switched there, too.
//!
//! Addresses and counts change with every build; functions and what they do hardly. So a switch is
//! named by the function and offset of the access that the vCPU stood before, and by the how-many-th
//! time it came there. It is counted from the start of the stretch, not of the run: a change
//! somewhere earlier then has no effect on the switches behind it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use probes::Symbols;
use vmm::controlled::{Choice, Point};

/// Why a stretch of a schedule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The vCPU was preempted.
    Place {
        /// `function+0xoffset`, or an address that no function has.
        at: String,
        /// The how-many-th time it came there in this stretch, from 1.
        hit: u64,
    },
    /// It couldn't go on: it waited, or slept.
    Blocked,
    /// It was one decision, the delivery of an interrupt; or the run was over.
    Itself,
}

impl Stop {
    /// The function that it names.
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::Place { at, .. } => Some(at.split_once('+')?.0),
            Self::Blocked | Self::Itself => None,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { at, hit } => write!(f, "{at} #{hit}"),
            Self::Blocked => f.write_str("blocked"),
            Self::Itself => f.write_str("-"),
        }
    }
}

impl FromStr for Stop {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "blocked" => Ok(Self::Blocked),
            "-" => Ok(Self::Itself),
            _ => {
                let (at, hit) = text.rsplit_once(" #").ok_or(())?;
                match hit.parse() {
                    Ok(hit @ 1..) if !at.is_empty() => Ok(Self::Place { at: at.into(), hit }),
                    _ => Err(()),
                }
            }
        }
    }
}

/// How often a vCPU has come to which places in a stretch.
#[derive(Debug)]
pub(crate) struct Arrivals<'a> {
    symbols: Option<&'a Symbols>,
    counts: HashMap<u64, u64>,
    here: u64,
}

impl<'a> Arrivals<'a> {
    pub(crate) fn new(symbols: Option<&'a Symbols>) -> Self {
        Self { symbols, counts: HashMap::new(), here: 0 }
    }

    /// A stretch begins.
    pub(crate) fn begin(&mut self) {
        self.counts.clear();
    }

    /// The vCPU of the stretch has done an access and stands before its next one.
    pub(crate) fn arrive(&mut self, rip: u64) {
        self.here = rip;
        *self.counts.entry(rip).or_default() += 1;
    }

    /// Where it stands.
    pub(crate) fn here(&self) -> Stop {
        let at = match self.symbols.and_then(|symbols| symbols.function(self.here)) {
            Some((function, offset)) => format!("{function}+{offset:#x}"),
            None => format!("{:#x}", self.here),
        };
        Stop::Place { at, hit: self.counts.get(&self.here).copied().unwrap_or(1) }
    }
}

/// Whether the vCPU of a stretch has come to an end by itself. When all vCPUs wait, a proof of a hang
/// is tried, and others may have gone on since.
pub(crate) fn is_blocked(vcpu: u32, point: &Point) -> bool {
    point.last != Some(vcpu) || !point.enabled.contains(&Choice::Step(vcpu))
}

/// Looks where vCPUs stand at the switches while a schedule is followed.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    arrivals: Arrivals<'a>,
    current: Option<Choice>,
    stops: Vec<Stop>,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(symbols: Option<&'a Symbols>) -> Self {
        Self { arrivals: Arrivals::new(symbols), current: None, stops: Vec::new() }
    }

    /// This is chosen now, and begins a stretch or not.
    pub(crate) fn look(&mut self, point: &Point, choice: Choice, begins: bool) {
        if let Some(Choice::Step(vcpu)) = self.current {
            let blocked = is_blocked(vcpu, point);
            if !blocked {
                self.arrivals.arrive(point.rip);
            }
            if begins {
                self.stops.push(if blocked { Stop::Blocked } else { self.arrivals.here() });
            }
        } else if self.current.is_some() {
            self.stops.push(Stop::Itself);
        }
        if begins {
            self.arrivals.begin();
        }
        self.current = Some(choice);
    }

    /// The run is over: why each stretch ended.
    pub(crate) fn finish(mut self) -> Vec<Stop> {
        if self.current.is_some() {
            self.stops.push(Stop::Itself);
        }
        self.stops
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
