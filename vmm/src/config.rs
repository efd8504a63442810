//! The configuration of a machine: one set of types for the command line, experiment files and
//! programs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::criteria::Criteria;
use crate::disk::DiskConfig;
use crate::error::{Error, Result};
use crate::fault::FaultSpec;
use crate::granularity::Granularity;
use crate::identity::Identity;
use crate::memory::MemorySize;

/// A number of vCPUs, from 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CpuCount(u32);

impl CpuCount {
    /// The maximum: guests commonly use CPU sets of 64 bits.
    pub const MAX: u32 = 64;

    /// Fails unless `count` is from 1 to [`CpuCount::MAX`].
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

    /// The number of vCPUs.
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

/// A file that is loaded for the guest: its kernel, or its initrd.
#[derive(Clone, Debug, Serialize)]
pub struct GuestImage {
    /// The file name or catalogue name that messages use.
    pub name: String,
    /// The contents of the file.
    #[serde(skip)]
    pub bytes: Cow<'static, [u8]>,
}

/// A machine's configuration.
#[derive(Clone, Debug, Serialize)]
pub struct MachineConfig {
    /// The guest kernel that the machine boots.
    pub guest: GuestImage,
    /// The initial RAM disk, which boot protocols other than Linux's call a module.
    pub initrd: Option<GuestImage>,
    /// The number of vCPUs.
    pub cpus: CpuCount,
    /// The size of the guest's memory.
    pub memory: MemorySize,
    /// The hypervisor identity that the guest sees.
    pub identity: Identity,
    /// The user's part of the guest's command line.
    pub command_line: String,
    /// The disks, in the order in which the guest finds them. Only the parallel scheduler runs a
    /// machine with disks.
    pub disks: Vec<DiskConfig>,
    /// Whether the guest has an entropy device; the same limit.
    pub rng: bool,
    /// Whether the guest has a virtio console beside its serial port; the same limit.
    pub virtio_console: bool,
    /// The faults that may strike. Each scheduler has some of the kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// Where the controlled scheduler has scheduling points. The parallel scheduler ignores it.
    #[serde(skip)]
    pub granularity: Granularity,
    /// The criteria that end a run, in addition to the events by which the guest itself ends it.
    pub criteria: Criteria,
}

impl MachineConfig {
    /// A machine with this guest, this number of vCPUs, and defaults for everything else.
    pub fn new(guest: GuestImage, cpus: CpuCount) -> Self {
        Self {
            guest,
            initrd: None,
            cpus,
            memory: MemorySize::default(),
            identity: Identity::default(),
            command_line: String::new(),
            disks: Vec::new(),
            rng: false,
            virtio_console: false,
            faults: Vec::new(),
            granularity: Granularity::default(),
            criteria: Criteria::default(),
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
