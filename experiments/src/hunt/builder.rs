//! A search as a test: `Hunt::guest("kernel.elf").cpus(2).runs(10_000).assert_clean()`.
//!
//! This is for the tests of a guest's own project. Like the models of `loom` and `shuttle`, it
//! panics with a report if a schedule fails, and the report says how to run it again.
//!
//! ```no_run
//! // In a function with #[test]:
//! experiments::Hunt::guest("target/kernel.elf").cpus(2).runs(10_000).assert_clean();
//! ```

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use inspect::Symbols;
use vmm::controlled::{Granularity, can_control};
use vmm::{CpuCount, Criteria, FaultSpec, GuestImage, Host, MachineConfig};

use super::{Hunt, Next, Progress, SearchEvent, hunt};
use crate::finding::Finding;
use crate::strategy::StrategySpec;

/// The default number of scheduling points after which a run is cut short.
const BUDGET: u64 = 1_000_000;

/// Builds a search and makes it.
#[derive(Clone, Debug)]
#[must_use = "nothing is searched until `run` or `assert_clean` is called"]
pub struct HuntBuilder {
    guest: PathBuf,
    cpus: u32,
    command_line: String,
    criteria: Criteria,
    faults: Vec<String>,
    granularity: Granularity,
    strategy: StrategySpec,
    seed: u64,
    runs: u64,
    time: Option<Duration>,
    budget: u64,
    jobs: u32,
    findings: PathBuf,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Searched {
    /// What was searched.
    pub progress: Progress,
    /// The first failure.
    pub finding: Option<Box<Finding>>,
    /// The file that it was written to.
    pub file: Option<PathBuf>,
}

/// Why a search could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HuntError {
    /// The guest's file can't be read.
    #[error("{path}: can't be read")]
    Guest {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A setting is wrong, or the machine or the host can't do it.
    #[error(transparent)]
    Machine(#[from] vmm::Error),
    /// The finding could not be written. Its text is in the error.
    #[error("{error}: the finding follows\n{text}")]
    Finding {
        /// Why.
        error: crate::finding::FindingError,
        /// The finding.
        text: String,
    },
}

impl Hunt {
    /// Begins to build a search for failures of this kernel, an ELF file that boots by PVH or
    /// Multiboot. Unless something else is said: one vCPU, the portfolio of strategies, seed 1, no
    /// limit of runs, findings in the current folder.
    pub fn guest(path: impl AsRef<Path>) -> HuntBuilder {
        HuntBuilder {
            guest: path.as_ref().to_owned(),
            cpus: 1,
            command_line: String::new(),
            criteria: Criteria { may_idle: true, ..Criteria::default() },
            faults: Vec::new(),
            granularity: Granularity::default(),
            strategy: StrategySpec::Portfolio,
            seed: 1,
            runs: u64::MAX,
            time: None,
            budget: BUDGET,
            jobs: 1,
            findings: PathBuf::from("."),
        }
    }
}

impl HuntBuilder {
    /// The number of vCPUs, from 1 to 64.
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
    }

    /// The guest's command line.
    pub fn command_line(self, command_line: &str) -> Self {
        Self { command_line: command_line.to_owned(), ..self }
    }

    /// What ends a run, besides what the guest does to the machine. By default, a kernel that
    /// idles passes ([`Criteria::may_idle`]).
    pub fn criteria(self, criteria: Criteria) -> Self {
        Self { criteria, ..self }
    }

    /// Lets a fault strike where the search chooses, such as `ipi-drop` (docs/faults.md).
    pub fn fault(mut self, spec: &str) -> Self {
        self.faults.push(spec.to_owned());
        self
    }

    /// What a scheduling point is.
    pub fn granularity(self, granularity: Granularity) -> Self {
        Self { granularity, ..self }
    }

    /// The search strategy.
    pub fn strategy(self, strategy: StrategySpec) -> Self {
        Self { strategy, ..self }
    }

    /// The seed of all random decisions.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The maximum number of runs.
    pub fn runs(self, runs: u64) -> Self {
        Self { runs, ..self }
    }

    /// The maximum time of the search.
    pub fn time(self, time: Duration) -> Self {
        Self { time: Some(time), ..self }
    }

    /// The number of scheduling points after which a run is cut short.
    pub fn budget(self, points: u64) -> Self {
        Self { budget: points, ..self }
    }

    /// How many runs are made in parallel.
    pub fn jobs(self, jobs: u32) -> Self {
        Self { jobs: jobs.max(1), ..self }
    }

    /// The folder for the finding.
    pub fn findings(self, folder: impl AsRef<Path>) -> Self {
        Self { findings: folder.as_ref().to_owned(), ..self }
    }

    /// Searches until a run fails, or a limit is reached, or every interleaving was run.
    pub fn run(&self) -> Result<Searched, HuntError> {
        let path = self.guest.display().to_string();
        let source = |source| HuntError::Guest { path: path.clone(), source };
        let place = self.guest.canonicalize().map_err(source)?;
        let bytes = std::fs::read(&place).map_err(source)?;
        let guest = GuestImage { name: place.display().to_string(), bytes: bytes.into() };
        let symbols = Symbols::from_file(&*guest.name, &*guest.bytes).ok();
        let faults = self.faults.iter().map(|fault| fault.parse::<FaultSpec>());
        let machine = MachineConfig {
            command_line: self.command_line.clone(),
            criteria: self.criteria.clone(),
            faults: faults.collect::<vmm::Result<_>>()?,
            granularity: self.granularity,
            ..MachineConfig::new(guest, CpuCount::new(self.cpus)?)
        };
        can_control(&machine)?;
        let host = Host::open(vmm::kvm::host::DEFAULT_DEVICE.as_ref())?;
        let setting = Hunt {
            machine,
            strategy: self.strategy.clone(),
            seed: self.seed,
            runs: self.runs,
            time: self.time,
            budget: self.budget,
            hang_budget: self.granularity.hang_budget(),
            jobs: self.jobs,
            keep_going: false,
            verify: false,
        };
        let mut finding = None;
        let progress = hunt(&host, &setting, symbols.as_ref(), |_, event| {
            if let SearchEvent::Failed(failed) = event {
                finding.get_or_insert_with(|| Box::new(failed.clone()));
            }
            Next::GoOn
        })?;
        let file = finding.as_deref().map(|finding| self.write(finding)).transpose()?;
        Ok(Searched { progress, finding, file })
    }

    fn write(&self, finding: &Finding) -> Result<PathBuf, HuntError> {
        let stem = self.guest.file_stem().unwrap_or_default().to_string_lossy();
        let stem = format!("{stem}-{}-{}", finding.search.seed, finding.search.run);
        let written = finding.write_new(&self.findings, &stem);
        written
            .map(|(path, _)| path)
            .map_err(|error| HuntError::Finding { error, text: finding.to_text() })
    }

    /// Searches for a failure, and expects none.
    ///
    /// # Panics
    /// If a run fails; and if nothing is known about the guest: no run came to its end, a fault
    /// never struck, or the search can't be made.
    #[track_caller]
    pub fn assert_clean(&self) {
        match self.run() {
            Err(error) => panic!("{}: {}", self.guest.display(), with_sources(&error)),
            Ok(searched) if !searched.is_clean() => panic!("{}: {searched}", self.guest.display()),
            Ok(_) => {}
        }
    }
}

impl Searched {
    /// Whether runs came to their end, none failed, each was the same when it was repeated, and
    /// every fault struck in one of them.
    pub fn is_clean(&self) -> bool {
        let progress = &self.progress;
        progress.failed == 0
            && progress.diverged == 0
            && progress.runs > progress.cut_short
            && self.silent_faults() == 0
    }

    /// The number of faults that never struck.
    fn silent_faults(&self) -> usize {
        self.progress.faults.iter().filter(|tally| tally.struck == 0).count()
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { runs, distinct, failed, cut_short, .. } = self.progress;
        if let Some(finding) = &self.finding {
            writeln!(f, "{} in run {}", finding.verdict, finding.search.run)?;
            finding.waits.iter().try_for_each(|row| writeln!(f, "{row}"))?;
            finding.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
            writeln!(f, "schedule: {}", finding.schedule)?;
        }
        if let Some(file) = &self.file {
            writeln!(f, "again: jitterbug replay {}", file.display())?;
        }
        if runs == cut_short {
            writeln!(f, "no run came to its end: that says nothing about the guest")?;
        }
        if self.silent_faults() > 0 && failed == 0 {
            writeln!(f, "{} faults never struck", self.silent_faults())?;
        }
        write!(f, "{runs} runs ({distinct} distinct), {failed} failed, {cut_short} cut short")
    }
}

/// An error with its causes.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // A text can always be written to.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
