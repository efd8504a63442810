//! What a machine is made of: one type, used by the command line, by experiment files and by
//! programs alike.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::criteria::Criteria;
use crate::error::{Error, Result};
use crate::granularity::Granularity;
use crate::identity::Identity;
use crate::memory::MemorySize;

/// A number of vCPUs, from 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CpuCount(u32);

impl CpuCount {
    /// The most: what CPU sets of 64 bits, as guests use them, can hold.
    pub const MAX: u32 = 64;

    /// Checks a number.
    pub fn new(count: u32) -> Result<Self> {
        if (1..=Self::MAX).contains(&count) {
            return Ok(Self(count));
        }
        Err(Error::Config {
            setting: "--cpus",
            value: count.to_string(),
            problem: format!("give a number from 1 to {}", Self::MAX),
        })
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for CpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CpuCount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let count = text.parse().map_err(|_| Error::Config {
            setting: "--cpus",
            value: text.into(),
            problem: format!("give a number from 1 to {}", Self::MAX),
        })?;
        Self::new(count)
    }
}

/// A guest's kernel image: an ELF64 file with a PVH entry note.
#[derive(Clone, Debug, Serialize)]
pub struct GuestImage {
    /// A file name or a catalogue name, by which messages speak of it.
    pub name: String,
    /// The whole file.
    #[serde(skip)]
    pub bytes: Cow<'static, [u8]>,
}

/// A machine's configuration.
#[derive(Clone, Debug, Serialize)]
pub struct MachineConfig {
    /// What it boots.
    pub guest: GuestImage,
    /// How many vCPUs it has.
    pub cpus: CpuCount,
    /// How much memory.
    pub memory: MemorySize,
    /// Which hypervisor the guest sees.
    pub identity: Identity,
    /// The user's part of the command line.
    pub command_line: String,
    /// Where the scheduling points of the controlled scheduler are; others have none.
    #[serde(skip)]
    pub granularity: Granularity,
    /// What ends a run besides what the guest does to the machine.
    pub criteria: Criteria,
}

impl MachineConfig {
    /// A machine with this guest and this many vCPUs, and the defaults for the rest.
    pub fn new(guest: GuestImage, cpus: CpuCount) -> Self {
        Self {
            guest,
            cpus,
            memory: MemorySize::default(),
            identity: Identity::default(),
            command_line: String::new(),
            granularity: Granularity::default(),
            criteria: Criteria::default(),
        }
    }

    /// The command line that the guest gets: the number of vCPUs first, unless the user's part
    /// gives it, then the user's part.
    pub fn full_command_line(&self) -> String {
        let user = self.command_line.trim();
        if user.split_ascii_whitespace().any(|word| word.starts_with("cpus=")) {
            user.to_owned()
        } else {
            format!("cpus={} {user}", self.cpus).trim_end().to_owned()
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
