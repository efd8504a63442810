//! Where vCPUs were at the switches of a schedule, so that another build of the guest can be
//! switched at the same places.
//!
//! Addresses and counts change with every build; functions and what they do hardly change. So a
//! switch is named by the function and offset of the access before which the vCPU was stopped, and
//! by how many times it had reached that access. This is counted from the start of the segment, not
//! of the run: a change earlier in the run then has no effect on later switches.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use inspect::Symbols;
use vmm::controlled::{Choice, Point};

/// Why a segment of a schedule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentEnd {
    /// The vCPU was preempted.
    Place {
        /// `function+0xoffset`, or the address if no function contains it.
        at: String,
        /// How many times the vCPU had come there in this segment, from 1.
        hit: u64,
    },
    /// The vCPU couldn't go on: it waited or slept.
    Blocked,
    /// The segment was a single decision, the delivery of an interrupt; or the run was over.
    Itself,
}

impl SegmentEnd {
    /// The function that the place names.
    pub fn function(&self) -> Option<&str> {
        match self {
            Self::Place { at, .. } => Some(at.split_once('+')?.0),
            Self::Blocked | Self::Itself => None,
        }
    }
}

impl fmt::Display for SegmentEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { at, hit } => write!(f, "{at} #{hit}"),
            Self::Blocked => f.write_str("blocked"),
            Self::Itself => f.write_str("-"),
        }
    }
}

impl FromStr for SegmentEnd {
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

/// Counts how often a vCPU has come to each place in a segment.
#[derive(Debug)]
pub(crate) struct VisitCounter<'a> {
    symbols: Option<&'a Symbols>,
    counts: HashMap<u64, u64>,
    here: u64,
}

impl<'a> VisitCounter<'a> {
    pub(crate) fn new(symbols: Option<&'a Symbols>) -> Self {
        Self { symbols, counts: HashMap::new(), here: 0 }
    }

    /// Begins a segment.
    pub(crate) fn begin(&mut self) {
        self.counts.clear();
    }

    /// The vCPU of the segment has made an access and is stopped before its next one.
    pub(crate) fn arrive(&mut self, rip: u64) {
        self.here = rip;
        *self.counts.entry(rip).or_default() += 1;
    }

    /// The place where the vCPU is.
    pub(crate) fn here(&self) -> SegmentEnd {
        let at = match self.symbols.and_then(|symbols| symbols.function(self.here)) {
            Some((function, offset)) => format!("{function}+{offset:#x}"),
            None => format!("{:#x}", self.here),
        };
        SegmentEnd::Place { at, hit: self.counts.get(&self.here).copied().unwrap_or(1) }
    }
}

/// Whether the segment ended because its vCPU couldn't go on. When all vCPUs wait, a proof of a
/// hang is attempted, and another vCPU may have run since.
pub(crate) fn is_blocked(vcpu: u32, point: &Point) -> bool {
    point.last != Some(vcpu) || !point.enabled.contains(&Choice::Step(vcpu))
}

/// Records where vCPUs are at the switches while a schedule is followed.
#[derive(Debug)]
pub(crate) struct SegmentProfiler<'a> {
    visits: VisitCounter<'a>,
    current: Option<Choice>,
    ends: Vec<SegmentEnd>,
}

impl<'a> SegmentProfiler<'a> {
    pub(crate) fn new(symbols: Option<&'a Symbols>) -> Self {
        Self { visits: VisitCounter::new(symbols), current: None, ends: Vec::new() }
    }

    /// Records the choice at this point, and whether it begins a segment.
    pub(crate) fn look(&mut self, point: &Point, choice: Choice, begins: bool) {
        if let Some(Choice::Step(vcpu)) = self.current {
            let blocked = is_blocked(vcpu, point);
            if !blocked {
                self.visits.arrive(point.rip);
            }
            if begins {
                self.ends.push(if blocked { SegmentEnd::Blocked } else { self.visits.here() });
            }
        } else if self.current.is_some() {
            self.ends.push(SegmentEnd::Itself);
        }
        if begins {
            self.visits.begin();
        }
        self.current = Some(choice);
    }

    /// Called when the run is over. Returns why each segment ended.
    pub(crate) fn finish(mut self) -> Vec<SegmentEnd> {
        if self.current.is_some() {
            self.ends.push(SegmentEnd::Itself);
        }
        self.ends
    }
}

#[cfg(test)]
#[path = "segment_end_tests.rs"]
mod tests;
