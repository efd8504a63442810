//! A cell of an experiment: one machine, which is run with many seeds.

use std::fmt;
use std::path::PathBuf;

use probes::source::Span;
use vmm::identity::Identity;
use vmm::jitter::JitterSpec;
use vmm::memory::MemorySize;
use vmm::{CpuCount, DiskConfig, FaultSpec};

/// A cell.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The phase that the cell is a part of, if the experiment has phases.
    pub phase: Option<String>,
    /// For each factor, the value that this cell has.
    pub levels: Vec<Level>,
    /// The machine.
    pub settings: CellSettings,
    /// The number of runs that are asked for.
    pub runs: u64,
}

/// One value of a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The factor: the name of the setting.
    pub factor: &'static str,
    /// The value, as a text.
    pub value: String,
}

/// The settings of a cell's machine.
#[derive(Clone, Debug)]
pub struct CellSettings {
    /// A guest of the catalogue, or a path relative to the file.
    pub guest: String,
    /// Where the file names the guest.
    pub guest_span: Span,
    /// The initial RAM disk, relative to the file.
    pub initrd: Option<PathBuf>,
    /// The file of symbols, relative to the file.
    pub symbols: Option<PathBuf>,
    /// The number of vCPUs; `None` stands for the guest's own.
    pub cpus: Option<CpuCount>,
    /// The size of memory.
    pub memory: MemorySize,
    /// The hypervisor that the guest sees.
    pub identity: Identity,
    /// The delays to inject.
    pub jitter: JitterSpec,
    /// The faults that may strike.
    pub faults: Vec<FaultSpec>,
    /// Additional words for the guest's command line.
    pub command_line: String,
    /// The disks; paths are relative to the file.
    pub disks: Vec<DiskConfig>,
    /// Whether the guest has an entropy device.
    pub rng: bool,
    /// Whether the guest has a virtio console.
    pub virtio_console: bool,
}

impl Cell {
    /// The cell's name: the phase, and the values of the factors.
    pub fn name(&self) -> String {
        let levels = self.levels.iter().map(ToString::to_string);
        let parts: Vec<_> = self.phase.iter().cloned().chain(levels).collect();
        if parts.is_empty() { self.settings.guest.clone() } else { parts.join(", ") }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.value.is_empty() { "\"\"" } else { &self.value };
        write!(f, "{} {value}", self.factor.replace('_', " "))
    }
}
