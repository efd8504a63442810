//! A finding: a failure as a file, with all that is needed to replay it.

use std::fmt::Write as _;
use std::hash::Hasher;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;
use vmm::controlled::{Choice, Granularity};
use vmm::identity::Identity;
use vmm::memory::MemorySize;
use vmm::{CpuCount, Criteria, DiskConfig, FaultSpec, GuestImage, MachineConfig};

use crate::fault_effect::FaultEffect;
use crate::observed::{FailureSignature, ObservedFailure};
use crate::part::{self, Part};
use crate::schedule::{Schedule, Segment};
use crate::segment_end::SegmentEnd;
use crate::waits::Row;

/// The first line of a finding.
const TITLE: &str = "# jitterbug finding";
/// The last line of a finding. If it is missing, the file was truncated.
const END: &str = "# end of finding";
const TRUNCATED: &str = "truncated: its last line isn't `# end of finding`";
/// The version of the format.
const VERSION: u32 = 3;
/// The oldest version that can still be read. In version 2, `observed` was named `sighting`.
const OLDEST: u32 = 2;

/// A failure, and how to reproduce it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The format's version.
    pub version: u32,
    /// What failed, in words.
    pub verdict: String,
    /// The decisions of the run.
    pub schedule: String,
    /// The guest and its machine.
    pub machine: Machine,
    /// The search that found it.
    pub search: Search,
    /// What a replay must reproduce.
    pub run: Run,
    /// The faults that struck, and whether the failure needs each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultEffect>,
    /// What each vCPU waits for at the end of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Row>,
    /// The failure observed in real time that this finding reproduces, if a search for it was made.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "sighting")]
    pub observed: Option<ObservedFailure>,
}

/// The guest and its machine.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The guest: a name of the catalogue, or a file.
    pub guest: String,
    /// XXH64 of the guest's image, in hex.
    pub guest_hash: String,
    /// Number of vCPUs.
    pub cpus: u32,
    /// The size of memory, as on the command line.
    pub memory: String,
    /// The hypervisor whose interface the guest sees.
    pub identity: String,
    /// The user's part of the guest's command line.
    pub command_line: String,
    /// The disks, as on the command line. Only `run` has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// Whether the guest has an entropy device; only with `run`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rng: bool,
    /// Whether the guest has a virtio console; only with `run`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub virtio_console: bool,
    /// The faults that may strike, as on the command line. Where they do is in the schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What a scheduling point is; `watch` if the field is missing.
    #[serde(default = "watch", skip_serializing_if = "is_watch")]
    pub granularity: String,
    /// The criteria that end a run, besides what the guest does to the machine.
    #[serde(default, skip_serializing_if = "is_default")]
    pub criteria: Criteria,
}

/// The granularity of a finding that names none.
fn watch() -> String {
    Granularity::Watch.to_string()
}

fn is_default(criteria: &Criteria) -> bool {
    *criteria == Criteria::default()
}

fn is_watch(granularity: &str) -> bool {
    granularity == Granularity::Watch.name()
}

/// The search that found a failure.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The strategy.
    pub strategy: String,
    /// The seed.
    pub seed: u64,
    /// The strategy's depth, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// The number of the run, from 0.
    pub run: u64,
}

/// What a replay must reproduce.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The hang budget: for how many scheduling points each vCPU might go on without any progress
    /// of the machine.
    pub hang_budget: u64,
    /// The number of scheduling points, including the points of the proof of a hang.
    pub points: u64,
    /// The run's hash at its end, in hex.
    pub hash: String,
    /// The hash at the start of each segment of the schedule, 16 hex digits each.
    pub switches: Vec<String>,
    /// Where each segment ended, for other builds of the guest ([`SegmentEnd`]). Empty if the run
    /// wasn't reproduced when it was repeated for this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
}

/// What is wrong with a finding's file.
#[derive(Debug, thiserror::Error)]
pub enum FindingError {
    /// The file can't be read.
    #[error("{path}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The file can't be written.
    #[error("{path}: can't be written")]
    Unwritable {
        /// The file, or its folder.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The file is not a finding, or a damaged one.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl FindingError {
    fn unwritable(path: &Path, source: io::Error) -> Self {
        Self::Unwritable { path: path.display().to_string(), source }
    }
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
            disks: config.disks.iter().map(ToString::to_string).collect(),
            rng: config.rng,
            virtio_console: config.virtio_console,
            faults: config.faults.iter().map(ToString::to_string).collect(),
            granularity: config.granularity.to_string(),
            criteria: config.criteria.clone(),
        }
    }

    /// Checks the values that are settings of a machine. An error names the key.
    fn check(&self) -> Result<(), String> {
        fn named<T>(key: &str, setting: vmm::Result<T>) -> Result<(), String> {
            setting.map(drop).map_err(|error| match error {
                vmm::Error::Config { value, problem, .. } => format!("{key} = {value}: {problem}"),
                other => format!("{key}: {other}"),
            })
        }
        named("cpus", CpuCount::new(self.cpus))?;
        named("memory", self.memory.parse::<MemorySize>())?;
        named("identity", self.identity.parse::<Identity>())?;
        self.disks.iter().try_for_each(|disk| named("disks", disk.parse::<DiskConfig>()))?;
        self.faults.iter().try_for_each(|fault| named("faults", fault.parse::<FaultSpec>()))?;
        named("granularity", self.granularity.parse::<Granularity>())
    }

    /// The configuration of the machine, with this guest image.
    pub fn config(&self, guest: GuestImage) -> vmm::Result<MachineConfig> {
        Ok(MachineConfig {
            guest,
            initrd: None,
            cpus: CpuCount::new(self.cpus)?,
            memory: self.memory.parse::<MemorySize>()?,
            identity: self.identity.parse::<Identity>()?,
            command_line: self.command_line.clone(),
            disks: self.disks.iter().map(|disk| disk.parse()).collect::<vmm::Result<_>>()?,
            rng: self.rng,
            virtio_console: self.virtio_console,
            faults: self.faults.iter().map(|fault| fault.parse()).collect::<vmm::Result<_>>()?,
            granularity: self.granularity.parse::<Granularity>()?,
            criteria: self.criteria.clone(),
        })
    }
}

/// The version, which is read first, to distinguish a newer file from a damaged one.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Finding {
    /// The format's version.
    pub const VERSION: u32 = VERSION;

    /// Whether a text begins like a finding.
    pub fn begins(text: &str) -> bool {
        text.starts_with(TITLE)
    }

    /// The signature by which this failure is compared with others.
    pub fn signature(&self) -> FailureSignature {
        FailureSignature::new(&self.verdict, &self.waits)
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
            // All fields are texts, numbers and lists of them, which TOML can always represent.
            Err(error) => drop(write!(text, "# can't be written: {error}")),
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Why each segment of the schedule ended.
    pub fn ends(&self) -> Vec<SegmentEnd> {
        self.run.places.iter().filter_map(|place| place.parse().ok()).collect()
    }

    /// Reads a file's text.
    pub fn from_text(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("not a finding: it is empty".into());
        }
        if !Self::begins(text) {
            return Err(format!("not a finding: its first line doesn't begin with `{TITLE}`"));
        }
        match toml::from_str::<Version>(text) {
            Ok(Version { version: OLDEST..=VERSION }) => {}
            Ok(Version { version }) => {
                return Err(format!(
                    "a finding of version {version}, and this program reads {OLDEST} and {VERSION}: \
                     replay it by the program that wrote it, or hunt again with the strategy and seed in it"
                ));
            }
            Err(error) => return Err(damaged(&error, text)),
        }
        if !text.trim_end().ends_with(END) {
            return Err(TRUNCATED.into());
        }
        let mut finding: Self = toml::from_str(text).map_err(|error| damaged(&error, text))?;
        finding.check().map_err(|problem| format!("damaged: {problem}"))?;
        finding.version = VERSION;
        Ok(finding)
    }

    /// Checks what the format alone doesn't guarantee.
    fn check(&self) -> Result<(), String> {
        self.machine.check()?;
        if self.run.hang_budget == 0 {
            return Err("hang_budget = 0: it is at least 1".into());
        }
        let schedule = self.schedule().map_err(|error| format!("schedule: {error}"))?;
        let segments = schedule.segments();
        let cpus = self.machine.cpus;
        if let Some(segment) = segments.iter().find(|segment| segment.choice.vcpu() >= cpus) {
            return Err(format!("schedule: {}, of {cpus} vCPUs", segment.choice));
        }
        let faults = self.machine.faults.len();
        let number = |segment: &Segment| match segment.choice {
            Choice::Fault(_, number) => usize::from(number),
            _ => 0,
        };
        if let Some(segment) = segments.iter().find(|segment| number(segment) > faults) {
            return Err(format!("schedule: {}, of {faults} faults", segment.choice));
        }
        let is_hash = |text: &String| {
            text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let hashes = [&self.machine.guest_hash, &self.run.hash].into_iter();
        if let Some(bad) = hashes.chain(&self.run.switches).find(|text| !is_hash(text)) {
            return Err(format!("`{bad}` is no hash of 16 hex digits"));
        }
        let lists = [("hashes", &self.run.switches), ("places", &self.run.places)];
        for (what, list) in lists {
            if list.len() != segments.len() && !(what == "places" && list.is_empty()) {
                return Err(format!("{} {what} for {} segments", list.len(), segments.len()));
            }
        }
        match self.run.places.iter().find(|place| place.parse::<SegmentEnd>().is_err()) {
            Some(bad) => Err(format!("`{bad}` is no place such as `main+0x4e #2`")),
            None => Ok(()),
        }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, FindingError> {
        let bytes = fs::read(path)
            .map_err(|source| FindingError::File { path: path.display().to_string(), source })?;
        Self::from_bytes(path, bytes)
    }

    /// Reads a file's bytes. `path` is for messages.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, FindingError> {
        let name = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| "not a finding: it is not a text".into());
        text.and_then(|text| Self::from_text(&text))
            .map_err(|problem| FindingError::Content { path: name, problem })
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), FindingError> {
        let write = || {
            let part = Part::of(path)?;
            part.file().write_all(self.to_text().as_bytes())?;
            part.keep()
        };
        write().map_err(|source| FindingError::unwritable(path, source))
    }

    /// Writes a file `STEM.finding`, whole or not at all; if another file has that name,
    /// `STEM.1.finding`, and so on. Returns its path, and whether it is new.
    pub fn write_new(&self, folder: &Path, stem: &str) -> Result<(PathBuf, bool), FindingError> {
        let name = |number| match number {
            0 => format!("{stem}.finding"),
            _ => format!("{stem}.{number}.finding"),
        };
        part::write_new(self.to_text().as_bytes(), folder, (0u64..).map(name))
            .map_err(|source| FindingError::unwritable(&folder.join(name(0)), source))
    }
}

/// Fails if no finding can be written in this folder.
pub fn check_folder(folder: &Path) -> Result<(), FindingError> {
    part::check_folder(folder).map_err(|source| FindingError::unwritable(folder, source))
}

/// What is wrong with a file that can't be parsed as a finding, and in which line.
fn damaged(error: &toml::de::Error, text: &str) -> String {
    if !text.trim_end().ends_with(END) {
        return TRUNCATED.into();
    }
    let message = error.message().trim_end().replace('\n', ", ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("damaged: line {}: {message}", before.matches('\n').count() + 1),
        None => format!("damaged: {message}"),
    }
}

#[cfg(test)]
#[path = "finding_tests.rs"]
pub(crate) mod tests;
