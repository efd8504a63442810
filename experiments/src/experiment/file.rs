//! The form of an experiment file. What the parts mean together is in `cells.rs`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use vmm::DiskConfig;
use vmm::criteria::Pattern;
use vmm::identity::Identity;
use vmm::jitter::JitterSpec;
use vmm::limits::Watchdog;
use vmm::memory::MemorySize;

use super::values::{Count, Cpus, Faults, Text};

/// An experiment: which machines are run, how often, what is a failure, and what is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExperimentFile")]
pub struct File {
    /// What the experiment is about.
    #[serde(default)]
    pub about: String,
    /// The settings of all machines.
    #[serde(default)]
    pub machine: Settings,
    /// The factors: settings with several values. Each combination of them is a cell.
    #[serde(default)]
    pub matrix: Matrix,
    /// Named parts of the experiment with settings of their own. Each of them has all combinations
    /// of the factors. Without any, there is one part without a name.
    #[serde(default, rename = "phase")]
    pub phases: Vec<Phase>,
    /// What ends a run, and what of it is a failure.
    #[serde(default)]
    pub failure: Failure,
    /// How often each cell is run.
    #[serde(default)]
    pub runs: Runs,
    /// Where the campaign ends before all runs were made.
    #[serde(default)]
    pub budget: Budget,
    /// What is kept of runs that failed.
    #[serde(default)]
    pub keep: Keep,
}

/// Settings of a machine; each has the meaning and the default of the option of `run`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A guest of the catalogue, or a kernel: a path relative to this file.
    #[schemars(with = "Option<String>")]
    pub guest: Option<Spanned<String>>,
    /// The initial RAM disk: a path relative to this file.
    pub initrd: Option<PathBuf>,
    /// An ELF file with the guest's symbols: a path relative to this file; or `none`.
    pub symbols: Option<PathBuf>,
    /// The number of vCPUs, from 1 to 64.
    #[schemars(with = "Option<Cpus>")]
    pub cpus: Option<Spanned<Cpus>>,
    /// The size of memory, such as `128M`.
    #[schemars(with = "Option<String>")]
    pub memory: Option<Spanned<Text<MemorySize>>>,
    /// The hypervisor that the guest sees: `vmware`, `kvm` or `none`.
    #[schemars(with = "Option<String>")]
    pub identity: Option<Spanned<Text<Identity>>>,
    /// The delays to inject: `off`, `light`, `boot`, or clauses.
    #[schemars(with = "Option<String>")]
    pub jitter: Option<Spanned<Text<JitterSpec>>>,
    /// Faults, as `--fault` takes them: one, a list of several, or `none`.
    #[schemars(with = "Option<Faults>")]
    pub fault: Option<Spanned<Faults>>,
    /// Additional words for the guest's command line.
    #[schemars(with = "Option<String>")]
    pub command_line: Option<Spanned<String>>,
    /// Disks, as `--disk` takes them; paths are relative to this file. A run must not change a
    /// disk, so each is `read-only` or `copy-on-write`.
    #[schemars(with = "Option<Vec<String>>")]
    pub disks: Option<Vec<Spanned<Text<DiskConfig>>>>,
    /// Whether the guest has an entropy device.
    pub rng: Option<bool>,
    /// Whether the guest has a virtio console.
    pub virtio_console: Option<bool>,
}

/// A factor: the values of a setting.
pub(super) type Values<T> = Option<Spanned<Vec<Spanned<T>>>>;

/// The factors. A setting that is a factor must not be set elsewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Guests.
    #[schemars(with = "Option<Vec<String>>")]
    pub guest: Values<String>,
    /// Numbers of vCPUs.
    #[schemars(with = "Option<Vec<Cpus>>")]
    pub cpus: Values<Cpus>,
    /// Sizes of memory.
    #[schemars(with = "Option<Vec<String>>")]
    pub memory: Values<Text<MemorySize>>,
    /// Hypervisor identities.
    #[schemars(with = "Option<Vec<String>>")]
    pub identity: Values<Text<Identity>>,
    /// Kinds of jitter.
    #[schemars(with = "Option<Vec<String>>")]
    pub jitter: Values<Text<JitterSpec>>,
    /// Faults. A value is one, a list of several that a machine has together, or `none`.
    #[schemars(with = "Option<Vec<Faults>>")]
    pub fault: Values<Faults>,
    /// Command lines.
    #[schemars(with = "Option<Vec<String>>")]
    pub command_line: Values<String>,
}

/// A named part of the experiment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// The number of runs of each of its cells, if it isn't `runs.per_cell`.
    #[schemars(with = "Option<Count>")]
    pub runs: Option<Spanned<Count>>,
    /// The settings in which it differs from `machine`.
    #[serde(default)]
    pub machine: Settings,
}

/// What ends a run, and what of it is a failure, besides what the guest itself reports.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Success: a line on the console contains one of these patterns.
    #[serde(default)]
    pub ok: Vec<Text<Pattern>>,
    /// Failure: a line on the console contains one of these patterns.
    #[serde(default)]
    pub fail: Vec<Text<Pattern>>,
    /// Success: a vCPU reaches one of these functions.
    #[serde(default)]
    pub ok_at: Vec<String>,
    /// Failure: a vCPU reaches one of these functions.
    #[serde(default)]
    pub fail_at: Vec<String>,
    /// A hang is reported after this time without a sign of life; or `off`.
    pub watchdog: Option<Text<Watchdog>>,
    /// A run is ended after this time; that alone is not a failure.
    pub timeout: Option<Text<Duration>>,
}

/// How often each cell is run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// The number of runs of a cell, each with the next seed.
    #[schemars(with = "Option<Count>")]
    pub per_cell: Option<Spanned<Count>>,
    /// The seed of each cell's first run; 1 if it is missing.
    #[schemars(with = "Option<u64>")]
    pub first_seed: Option<Spanned<u64>>,
}

/// Where the campaign ends before all runs were made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The maximum number of runs of the whole campaign.
    pub runs: Option<Count>,
    /// No run begins after this time of work, such as `4m`.
    pub time: Option<Text<Duration>>,
    /// No further run of a cell begins once it has this number of failures.
    pub failures_per_cell: Option<Count>,
}

/// What is kept of runs that failed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The number of failures of each kind of which the report and the console are kept.
    #[serde(default = "three")]
    pub failures: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { failures: three() }
    }
}

fn three() -> u32 {
    3
}
