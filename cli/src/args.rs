//! The command line.

mod criteria;
mod pages;
mod paths;
mod probing;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use experiments::StrategyKind;
use vmm::CpuCount;
use vmm::controlled::Granularity;
use vmm::identity::Identity;
use vmm::jitter::JitterSpec;
use vmm::memory::MemorySize;

pub(crate) use criteria::CriteriaArgs;
pub(crate) use pages::{PageArgs, Pages, ReportArgs};
pub(crate) use probing::ProbeArgs;

/// Boots a guest on KVM, tells it that it runs on VMware, shakes its vCPUs until a race shows, and
/// lets VProbes scripts look into every vCPU from outside.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = STATUS_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// The KVM device
    #[arg(long, global = true, default_value = vmm::kvm::host::DEFAULT_DEVICE, value_name = "PATH")]
    pub(crate) kvm: PathBuf,

    /// Run all of it in a machine with a real kvm-amd, emulated by QEMU: needs no /dev/kvm, and
    /// takes its time (docs/bed.md)
    #[arg(long, global = true)]
    pub(crate) bed: bool,

    /// Log more: once for what is chosen, twice for every injection. With `probes`: when each point fires,
    /// by what, and an example
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Cli {
    /// How much is logged. `probes -v` asks for a longer list.
    pub(crate) fn log_level(&self) -> u8 {
        match self.command {
            Command::Probes(_) => self.verbose.saturating_sub(1),
            _ => self.verbose,
        }
    }
}

const STATUS_HELP: &str = "\
Exit status: 0 no failure found, 1 failure found, 2 wrong usage or input, 3 the host can't do it,
4 no run came to its end, 5 a finding did not carry over to another build, 6 a finding could not be
written, 130 or 143 interrupted by SIGINT or SIGTERM before a failure was found.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boots a guest and watches it
    Run(Box<RunArgs>),
    /// Searches interleavings for one that fails
    Hunt(Box<HuntArgs>),
    /// Runs a finding again: 0 if it happens as recorded, 1 if not
    Replay(ReplayArgs),
    /// Says what went wrong in a finding: which accesses, in which order, and the proof
    Explain(ExplainArgs),
    /// Lists the guests that come with jitterbug
    Guests(ListArgs),
    /// Lists the probe points, with what each costs here, or measures the engine (--bench)
    Probes(PointArgs),
    /// Tries what this host's KVM can do, and says what jitterbug will use
    Doctor(ListArgs),
    /// Prints a shell's completion script for jitterbug
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Writes jitterbug's man pages into a folder
    Man {
        /// The folder, which must exist. Pages that are there are replaced
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

impl Command {
    /// Whether the command uses the host's KVM, so that it matters where it runs (`--bed`).
    pub(crate) fn needs_a_host(&self) -> bool {
        !matches!(self, Self::Completions { .. } | Self::Man { .. })
    }
}

#[derive(Debug, Args)]
pub(crate) struct PointArgs {
    /// Only points that this fits, such as 'Guest_*' or GUEST:ENTER:main
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,

    /// Measure what the engine takes for a firing, operation by operation
    #[arg(long, conflicts_with = "pattern")]
    pub(crate) bench: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A guest of the catalogue (`jitterbug guests`), or a file: an ELF64 kernel with a PVH note
    #[arg(value_name = "GUEST|FILE")]
    pub(crate) guest: String,

    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    #[command(flatten)]
    pub(crate) criteria: CriteriaArgs,

    #[command(flatten)]
    pub(crate) probing: ProbeArgs,

    /// Delays to inject: off, light, boot, or clauses such as `hold:at=io,p=0.5,for=1ms..10ms`
    /// (docs/jitter.md)
    #[arg(long, default_value = "off", value_name = "SPEC")]
    pub(crate) jitter: JitterSpec,

    /// The seed of everything random; each further run takes the next one
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Call the guest hung after this long without a sign of life, or `off`: by the processor time that
    /// the host gave its vCPUs, so not because the host is busy. A guest of yours that sleeps then, with
    /// interrupts on and none pending, is quiet: no failure [default: 3s; off for guests that run for ever]
    #[arg(long, value_name = "TIME")]
    pub(crate) watchdog: Option<Watchdog>,

    /// End a run after this long; that alone is no failure
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,

    /// Run this many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: Option<u64>,

    /// Run until a run fails (with --repeat: at most that often)
    #[arg(long)]
    pub(crate) until_failure: bool,

    /// Look for the first failure again under control, as `hunt` does, and explain it
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) pages: PageArgs,

    /// Where --explain writes its findings [default: .]
    #[arg(long, value_name = "DIR", value_parser = paths::output_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Print one JSON report on stdout, the guest's console inside it
    #[arg(long)]
    pub(crate) json: bool,
}

impl RunArgs {
    /// Where --explain writes its findings.
    pub(crate) fn out_folder(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("."))
    }
}

#[derive(Debug, Args)]
pub(crate) struct HuntArgs {
    /// A guest of the catalogue (`jitterbug guests`), or a file: an ELF64 kernel with a PVH note
    #[arg(value_name = "GUEST|FILE")]
    pub(crate) guest: String,

    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    #[command(flatten)]
    pub(crate) criteria: CriteriaArgs,

    /// Who decides what happens next: portfolio (all that vary), random, uniform, pct, round-robin or
    /// schedule [default: portfolio; schedule if there is a --schedule]
    #[arg(long, value_name = "S", value_parser = str::parse::<StrategyKind>)]
    pub(crate) strategy: Option<StrategyKind>,

    /// The schedule to follow, such as `0@120>3@44>3!`, or a file with one; a finding will do.
    /// Behind its end the last vCPU goes on
    #[arg(long, value_name = "SCHEDULE|@FILE")]
    pub(crate) schedule: Option<String>,

    /// What a vCPU does from one scheduling point to the next: watch (an access to what is shared) or
    /// instruction (one instruction; no page is watched)
    #[arg(long, default_value_t, value_name = "G")]
    pub(crate) granularity: Granularity,

    /// The depth of the bugs to look for (pct)
    #[arg(long, default_value_t = 2, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) depth: u32,

    /// At most so many runs [default: no limit; 1 with round-robin and schedule]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: Option<u64>,

    /// At most so long
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) time: Option<Duration>,

    /// The seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Make so many runs at a time, each with a machine of its own, or `auto`: one for each CPU. What
    /// is found doesn't depend on it
    #[arg(long, default_value = "1", value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: u32,

    /// Cut a run short after so many scheduling points
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) budget: u64,

    /// Call it a hang, "by budget", when every vCPU has gone on for so many scheduling points and
    /// none has changed anything but state of its own [default: 20000, or 100000 with --granularity
    /// instruction]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) hang_budget: Option<u64>,

    /// Go on after a failure, and keep the shortest few findings of each kind
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// Run every schedule twice, and report those that come out differently (status 1)
    #[arg(long)]
    pub(crate) verify: bool,

    /// Explain the first failure (with --keep-going, the shortest that is like it): which accesses, in
    /// which order, and the proof
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) pages: ReportArgs,

    /// Where to write findings
    #[arg(long, default_value = ".", value_name = "DIR", value_parser = paths::output_folder())]
    pub(crate) out: PathBuf,

    /// An ELF file with the guest's symbols, or `none` [default: the guest's image]
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,

    /// Print one JSON report on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The finding's file
    #[arg(value_name = "FINDING", value_parser = paths::named_path())]
    pub(crate) finding: PathBuf,

    /// The guest, if it is not where it was; another build of it is followed by symbols
    #[arg(long, value_name = "GUEST|FILE")]
    pub(crate) guest: Option<String>,

    #[command(flatten)]
    pub(crate) probing: ProbeArgs,

    /// Replay so many times
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,

    /// Print one JSON report on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A finding's file
    #[arg(value_name = "FINDING", value_parser = paths::named_path())]
    pub(crate) finding: PathBuf,

    /// The guest, if it is not where it was
    #[arg(long, value_name = "GUEST|FILE")]
    pub(crate) guest: Option<String>,

    /// An ELF file with the guest's symbols, or `none` [default: the guest's image]
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,

    /// The folder for the shortest schedule's file [default: beside the finding]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) pages: ReportArgs,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// How many vCPUs, from 1 to 64 [default: the guest's own, 1 for a file]
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<CpuCount>,

    /// How much memory
    #[arg(long, default_value_t, value_name = "SIZE")]
    pub(crate) mem: MemorySize,

    /// The hypervisor that the guest sees: vmware, kvm or none
    #[arg(long, default_value_t, value_name = "I")]
    pub(crate) identity: Identity,

    /// More words for the guest's command line
    #[arg(long, default_value = "", value_name = "S")]
    pub(crate) cmdline: String,
}

/// How long to wait for a sign of life.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watchdog {
    Off,
    After(Duration),
}

impl FromStr for Watchdog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let window = parse_time(text)?;
        if window < vmm::watchdog::MIN_WINDOW {
            return Err(format!("at least {:?}, or off", vmm::watchdog::MIN_WINDOW));
        }
        Ok(Self::After(window))
    }
}

/// A time such as `500ms`, `3s`, `2m`; a plain number counts seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    const HINT: &str = "not a time: write for example 500ms, 3s or 2m";
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| HINT)?,
        Err(_) => humantime::parse_duration(text).map_err(|_| HINT)?,
    };
    // Timers count in 64-bit nanoseconds; a year is for ever.
    match time {
        Duration::ZERO => Err("must be more than zero".into()),
        time if time > Duration::from_hours(24 * 365) => Err("at most a year".into()),
        time => Ok(time),
    }
}

/// A number of threads, or `auto`.
fn parse_jobs(text: &str) -> Result<u32, String> {
    const MAX_JOBS: u32 = 1024;
    if text == "auto" {
        return Ok(std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32));
    }
    match text.parse() {
        Ok(jobs @ 1..=MAX_JOBS) => Ok(jobs),
        _ => Err(format!("give a number from 1 to {MAX_JOBS}, or auto")),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
