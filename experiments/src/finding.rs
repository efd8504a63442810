//! A failure as a file: all that one needs to run it again.

use std::fmt::Write as _;
use std::hash::Hasher;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;
use vmm::identity::Identity;
use vmm::memory::MemorySize;
use vmm::{CpuCount, GuestImage, MachineConfig};

use crate::schedule::Schedule;
use crate::waits::Row;

/// The first line of a finding.
const TITLE: &str = "# jitterbug finding";
/// The version of the format.
const VERSION: u32 = 1;

/// A failure, and how to have it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The format's version.
    pub version: u32,
    /// What failed, in words.
    pub verdict: String,
    /// The decisions.
    pub schedule: String,
    /// The guest and its machine.
    pub machine: Machine,
    /// How it was found.
    pub search: Search,
    /// What a replay must come to.
    pub run: Run,
    /// Who waits for what, at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Row>,
}

/// The guest and its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The guest: a catalogue name or a file.
    pub guest: String,
    /// XXH64 of its image, in hex.
    pub guest_hash: String,
    /// Number of vCPUs.
    pub cpus: u32,
    /// Memory, as on the command line.
    pub memory: String,
    /// The hypervisor that the guest sees.
    pub identity: String,
    /// The user's part of the command line.
    pub command_line: String,
}

/// How it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The strategy.
    pub strategy: String,
    /// Its seed.
    pub seed: u64,
    /// Its depth, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// The run, from 0.
    pub run: u64,
}

/// What a replay must come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// How many scheduling points each vCPU might go on without any progress of the machine.
    pub hang_budget: u64,
    /// Scheduling points, those of the proof of a hang included.
    pub points: u64,
    /// The run's hash at its end, in hex.
    pub hash: String,
    /// The hash at each switch of the schedule, 16 hex digits each.
    pub switches: Vec<String>,
}

/// What is wrong with a finding's file.
#[derive(Debug, thiserror::Error)]
pub enum FindingError {
    /// It can't be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It is no finding, or a damaged one.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

/// XXH64 of an image, in hex.
pub fn image_hash(image: &[u8]) -> String {
    let mut hash = XxHash64::with_seed(0);
    hash.write(image);
    format!("{:016x}", hash.finish())
}

impl Machine {
    /// Describes a machine.
    pub fn of(config: &MachineConfig) -> Self {
        Self {
            guest: config.guest.name.clone(),
            guest_hash: image_hash(&config.guest.bytes),
            cpus: config.cpus.get(),
            memory: config.memory.to_string(),
            identity: config.identity.to_string(),
            command_line: config.command_line.clone(),
        }
    }

    /// The machine, with this image in it.
    pub fn config(&self, guest: GuestImage) -> vmm::Result<MachineConfig> {
        Ok(MachineConfig {
            guest,
            cpus: CpuCount::new(self.cpus)?,
            memory: self.memory.parse::<MemorySize>()?,
            identity: self.identity.parse::<Identity>()?,
            command_line: self.command_line.clone(),
        })
    }
}

/// What is read first, to tell a newer file from a damaged one.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Finding {
    /// The format's version.
    pub const VERSION: u32 = VERSION;

    /// Whether a text begins as findings do.
    pub fn begins(text: &str) -> bool {
        text.starts_with(TITLE)
    }

    /// The decisions.
    pub fn schedule(&self) -> Result<Schedule, crate::schedule::ScheduleError> {
        self.schedule.parse()
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{TITLE}: run it again by `jitterbug replay FILE`\n");
        match toml::to_string(self) {
            Ok(body) => text.push_str(&body),
            // All fields are texts, numbers and lists of them: TOML has room for that.
            Err(error) => drop(write!(text, "# can't be written: {error}")),
        }
        text
    }

    /// Reads a file's text.
    pub fn from_text(text: &str) -> Result<Self, String> {
        if !Self::begins(text) {
            return Err(format!("not a finding: its first line doesn't begin with `{TITLE}`"));
        }
        match toml::from_str::<Version>(text) {
            Ok(Version { version: VERSION }) => {}
            Ok(Version { version }) => {
                return Err(format!(
                    "a finding of version {version}; this program reads {VERSION}"
                ));
            }
            Err(error) => return Err(format!("damaged or truncated: {}", error.message())),
        }
        let finding: Self = toml::from_str(text)
            .map_err(|error| format!("damaged or truncated: {}", error.message()))?;
        let schedule = finding.schedule().map_err(|error| format!("damaged: schedule: {error}"))?;
        if finding.run.switches.len() != schedule.stretches().len() {
            return Err(format!(
                "damaged: {} hashes for {} stretches of the schedule",
                finding.run.switches.len(),
                schedule.stretches().len()
            ));
        }
        Ok(finding)
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, FindingError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|source| FindingError::File { path: name.clone(), source })?;
        Self::from_text(&text).map_err(|problem| FindingError::Content { path: name, problem })
    }

    /// Writes a file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), FindingError> {
        let part = path.with_extension("finding.part");
        fs::write(&part, self.to_text())
            .and_then(|()| fs::rename(&part, path))
            .map_err(|source| FindingError::File { path: path.display().to_string(), source })
    }
}

#[cfg(test)]
#[path = "finding_tests.rs"]
pub(crate) mod tests;
