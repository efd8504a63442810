//! Races with names, and what was looked at.

use std::fmt;

use inspect::linux::Task;
use inspect::{Inspector, Stack};
use schemars::JsonSchema;
use serde::Serialize;

use super::Variable;
use super::race::{Access, Race, is_same_pair};

/// The most different races that are kept.
pub(super) const MAX_RACES: usize = 256;

/// What a collider has looked at.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct Tally {
    /// The number of reads of watched variables, for each vCPU.
    pub reads: Vec<u64>,
    /// The number of writes of watched variables, for each vCPU.
    pub writes: Vec<u64>,
    /// Accesses of which too little was known to compare them (data watchpoints only).
    pub unknown: u64,
    /// How often a vCPU was held behind an access.
    pub holds: u64,
    /// The total time of the holds, in seconds.
    pub held_seconds: f64,
    /// Races that were not kept, because there was no room.
    pub left_out: u64,
}

impl Tally {
    pub(super) fn new(vcpus: u32) -> Self {
        let counts = vec![0; vcpus as usize];
        Self { reads: counts.clone(), writes: counts, ..Self::default() }
    }

    pub(super) fn add(&mut self, access: &Access) {
        let counts = if access.write { &mut self.writes } else { &mut self.reads };
        if let Some(count) = counts.get_mut(access.vcpu as usize) {
            *count += 1;
        }
    }

    /// Adds what another run looked at.
    pub fn merge(&mut self, other: &Self) {
        for (counts, more) in [(&mut self.reads, &other.reads), (&mut self.writes, &other.writes)] {
            counts.resize(counts.len().max(more.len()), 0);
            counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        self.unknown += other.unknown;
        self.holds += other.holds;
        self.held_seconds += other.held_seconds;
        self.left_out += other.left_out;
    }

    /// Why no race could have been seen; `None` if one could.
    pub fn blind(&self) -> Option<Blind> {
        let vcpus = self.reads.iter().zip(&self.writes).filter(|(r, w)| **r + **w > 0).count();
        if vcpus == 0 && self.unknown > 0 {
            Some(Blind::Unknown)
        } else if vcpus == 0 {
            Some(Blind::NotAccessed)
        } else if vcpus == 1 {
            Some(Blind::OneVcpu)
        } else if self.writes.iter().all(|writes| *writes == 0) {
            Some(Blind::NotWritten)
        } else if self.holds == 0 {
            Some(Blind::NotHeld)
        } else {
            None
        }
    }
}

/// Why no race could have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// Too little is known of the accesses.
    Unknown,
    /// There was no access.
    NotAccessed,
    /// All accesses were those of one vCPU.
    OneVcpu,
    /// There was no write.
    NotWritten,
    /// No vCPU was held behind an access.
    NotHeld,
}

impl Blind {
    /// The reason, said of all watched variables together.
    pub fn of_all(self) -> &'static str {
        match self {
            Self::Unknown => "too little is known of all accesses (--trap-pages tells all)",
            Self::NotAccessed => "no watched variable was accessed",
            Self::OneVcpu => "only one vCPU accessed the watched variables",
            Self::NotWritten => "no watched variable was written",
            Self::NotHeld => "no vCPU was held: at each access, all others were",
        }
    }

    /// The reason, said of a single variable.
    pub fn of_one(self) -> &'static str {
        match self {
            Self::Unknown => "too little is known of its accesses (--trap-pages tells all)",
            Self::NotAccessed => "never accessed",
            Self::OneVcpu => "accessed by one vCPU only",
            Self::NotWritten => "never written",
            Self::NotHeld => "no vCPU was held: at each access, all others were",
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reads, writes) = (self.reads.iter().sum::<u64>(), self.writes.iter().sum::<u64>());
        let vcpus = self.reads.iter().zip(&self.writes).filter(|(r, w)| **r + **w > 0).count();
        write!(
            f,
            "{} and {} by {}, {} of {:.3} s in all",
            count(reads, "read"),
            count(writes, "write"),
            count(vcpus as u64, "vCPU"),
            count(self.holds, "hold"),
            self.held_seconds
        )
    }
}

/// A number of things, in words.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A race with names.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "Race")]
pub struct Report {
    /// The variable.
    pub variable: String,
    /// Its linear address.
    #[serde(serialize_with = "vmm::hex::number")]
    #[schemars(with = "String")]
    pub address: u64,
    /// The access behind which a vCPU was held.
    pub held: Party,
    /// The access of another vCPU in this time.
    pub other: Party,
    /// The time between the two, as far as they were noticed, in microseconds. Which of them came
    /// first isn't known.
    pub microseconds: u64,
    /// How often accesses by these two instructions met.
    pub times: u64,
}

/// One of two accesses that race.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Party {
    /// The vCPU.
    pub vcpu: u32,
    /// Whether it is a write.
    pub write: bool,
    /// Whether it is a part of a locked instruction.
    pub locked: bool,
    /// The offset of its first byte in the variable; negative if it begins before.
    pub offset: i64,
    /// The number of bytes.
    pub size: u8,
    /// The value that was read or written; absent if it isn't known.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "vmm::hex::option")]
    #[schemars(with = "Option<String>")]
    pub value: Option<u64>,
    /// The task of a Linux kernel that the vCPU ran; absent if it isn't known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Running>,
    /// The vCPU's stack. The innermost address of a write is behind the instruction.
    pub stack: Stack,
}

/// A task that accessed a variable.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[schemars(rename = "RaceTask")]
pub struct Running {
    /// The thread: what the kernel calls its pid. The idle task of each vCPU has 0.
    pub thread: u32,
    /// The name of the program or of the kernel's thread, up to 15 bytes.
    pub name: String,
}

impl From<&Task> for Running {
    fn from(task: &Task) -> Self {
        Self { thread: task.thread, name: String::from_utf8_lossy(&task.name).into_owned() }
    }
}

impl Report {
    /// Whether both are about the same two instructions, in either order.
    fn is_like(&self, other: &Self) -> bool {
        let (sites, theirs) =
            ((self.held.site(), self.other.site()), (other.held.site(), other.other.site()));
        self.variable == other.variable && is_same_pair(sites, theirs)
    }

    /// Names a race.
    pub(super) fn new(race: &Race, variables: &[Variable], inspector: &Inspector) -> Option<Self> {
        let variable = variables.get(race.variable)?;
        let party = |access: &Access| Party {
            vcpu: access.vcpu,
            write: access.write,
            locked: access.locked,
            offset: access.address.wrapping_sub(variable.physical.start) as i64,
            size: access.size,
            value: access.value,
            task: access.task.as_ref().map(Running::from),
            stack: inspector.name(&access.stack),
        };
        Some(Self {
            variable: variable.name.clone(),
            address: variable.linear,
            held: party(&race.held),
            other: party(&race.other),
            microseconds: race.apart.as_micros() as u64,
            times: race.times,
        })
    }
}

/// Adds races to those of earlier runs. Returns the number of those that were not kept, because
/// there was no room.
pub fn merge(known: &mut Vec<Report>, more: impl IntoIterator<Item = Report>) -> u64 {
    let mut left_out = 0;
    for race in more {
        if let Some(known) = known.iter_mut().find(|known| known.is_like(&race)) {
            known.times += race.times;
        } else if known.len() < MAX_RACES {
            known.push(race);
        } else {
            left_out += 1;
        }
    }
    left_out
}

impl Party {
    /// The place in the guest's code: the same in all runs, even if the kernel is elsewhere.
    fn site(&self) -> (bool, Option<&str>, Option<&str>, u64) {
        let frame = self.stack.frames.first();
        let name = frame.and_then(|frame| frame.function.as_deref());
        let offset = frame.map_or(0, |it| if name.is_some() { it.offset } else { it.address });
        (self.write, frame.and_then(|frame| frame.module.as_deref()), name, offset)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, more: &str) -> fmt::Result {
        write!(f, "\n  vCPU {} {}", self.vcpu, if self.write { "wrote" } else { "read" })?;
        if let Some(value) = self.value {
            write!(f, " {value:#x}")?;
        }
        let bytes = if self.size == 1 { "byte" } else { "bytes" };
        write!(f, ", {} {bytes}", self.size)?;
        if self.offset != 0 {
            write!(f, " at offset {}", self.offset)?;
        }
        if self.locked {
            f.write_str(", in a locked instruction")?;
        }
        if let Some(Running { thread, name }) = &self.task {
            write!(f, ", by {} ({thread})", name.escape_debug())?;
        }
        write!(f, "{more}\n    {}", self.stack)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = count(self.times, "time");
        write!(f, "race on {} at {:#x}, met {times}", self.variable, self.address)?;
        self.held.write(f, "")?;
        self.other.write(f, &format!(", while vCPU {} was still there", self.held.vcpu))
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
