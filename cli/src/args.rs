//! The command line.

mod confine;
mod control;
mod criteria;
mod experiment;
mod fault;
mod pages;
mod paths;
mod probing;
mod races;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bed::Host;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use experiments::StrategyKind;
use vmm::controlled::Granularity;
use vmm::identity::Identity;
use vmm::jitter::JitterSpec;
use vmm::limits::{Watchdog, parse_time};
use vmm::memory::MemorySize;
use vmm::{CpuCount, DiskConfig, FaultSpec};

use crate::gdb::Address;

pub(crate) use confine::ConfineArgs;
pub(crate) use control::{ControlArgs, CtlArgs};
pub(crate) use criteria::CriteriaArgs;
pub(crate) use experiment::{
    ExperimentCommand, ExperimentCompareArgs, ExperimentMergeArgs, ExperimentReportArgs,
    ExperimentResumeArgs, ExperimentRunArgs, WorkArgs,
};
pub(crate) use fault::resolved;
pub(crate) use pages::{PageArgs, PageFiles, Pages, ReportArgs};
pub(crate) use probing::ProbeArgs;
pub(crate) use races::RacesArgs;

/// Boots a guest on KVM, presents itself as VMware, delays its vCPUs until a race shows, and lets
/// VProbes scripts look into every vCPU from outside.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = STATUS_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// The KVM device
    #[arg(long, global = true, default_value = vmm::kvm::host::DEFAULT_DEVICE, value_name = "PATH")]
    pub(crate) kvm: PathBuf,

    /// Run the command in an emulated machine with a real kvm-amd (by QEMU) or kvm-intel (by Bochs,
    /// which is slower and takes standard input only from a file): needs no /dev/kvm (docs/bed.md)
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "HOST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "amd"
    )]
    pub(crate) bed: Option<Host>,

    /// Log more: once for what jitterbug chooses, twice for every injection as well. With `probes`:
    /// when each point fires, by which means, and an example
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Cli {
    /// The log level. `probes -v` asks for a longer list instead.
    pub(crate) fn log_level(&self) -> u8 {
        match self.command {
            Command::Probes(_) => self.verbose.saturating_sub(1),
            _ => self.verbose,
        }
    }
}

const STATUS_HELP: &str = "\
Exit status: 0 no failure found, 1 failure found, 2 wrong usage or input, 3 the host can't do it,
4 no run came to its end, or on a watched variable no race could have been seen, 5 a finding did not
carry over to another build, 6 a finding could not be written, 130 or 143 interrupted by SIGINT or
SIGTERM before a failure was found.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boots a guest and supervises it
    Run(Box<RunArgs>),
    /// Searches interleavings for one that fails
    Hunt(Box<HuntArgs>),
    /// Finds data races on chosen variables, by holding vCPUs at their accesses in real time
    Races(Box<RacesArgs>),
    /// Replays a finding: status 0 if the failure happens as recorded, 1 if not
    Replay(ReplayArgs),
    /// Finds the cause of a finding: which accesses, in which order, and the proof
    Explain(ExplainArgs),
    /// Makes the runs of an experiment file, and reports how often they fail (docs/experiments.md)
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Examines and controls a machine that runs with --ctl
    Ctl(CtlArgs),
    /// Lists the guests that come with jitterbug
    Guests(ListArgs),
    /// Lists the probe points and what each costs on this host, or measures the engine (--bench)
    Probes(PointArgs),
    /// Tests what this host's KVM can do, and reports what jitterbug will use
    Doctor(DoctorArgs),
    /// Prints a shell's completion script for jitterbug
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Writes jitterbug's man pages into a folder
    Man {
        /// The folder, which must exist. Existing pages are replaced
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

impl Command {
    /// Whether the command uses the host's KVM, so that `--bed` makes a difference.
    pub(crate) fn needs_a_host(&self) -> bool {
        match self {
            Self::Completions { .. } | Self::Man { .. } | Self::Ctl(_) => false,
            Self::Run(args) => args.probing.dump_pass.is_none(),
            Self::Replay(args) => args.probing.dump_pass.is_none(),
            _ => true,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PointArgs {
    /// Only points that match, such as 'Guest_*' or GUEST:ENTER:main
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,

    /// Measure how long the engine takes for a firing, operation by operation
    #[arg(long, conflicts_with = "pattern")]
    pub(crate) bench: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Skip the self-tests that have not begun after this time; the default suffices on an idle
    /// host, also in the test bed
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "4500ms")]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A guest of the catalogue (`jitterbug guests`), or a kernel: an ELF file with a PVH note, a
    /// Multiboot image, a bzImage or a vmlinux (docs/kernels.md)
    #[arg(value_name = "GUEST|FILE")]
    pub(crate) guest: String,

    /// The initial RAM disk of a Linux kernel. Kernels that boot by PVH or Multiboot get it as a
    /// module
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    #[command(flatten)]
    pub(crate) criteria: CriteriaArgs,

    #[command(flatten)]
    pub(crate) control: ControlArgs,

    #[command(flatten)]
    pub(crate) probing: ProbeArgs,

    /// Watch the guest's data by trapped pages even where data watchpoints would do: accesses are
    /// then seen whatever linear address they use (docs/probes.md)
    #[arg(long)]
    pub(crate) trap_pages: bool,

    /// Delays to inject: off, light, boot, or clauses such as `hold:at=io,p=0.5,for=1ms..10ms`
    /// (docs/jitter.md)
    #[arg(long, default_value = "off", value_name = "SPEC")]
    pub(crate) jitter: JitterSpec,

    /// Let a fault strike: at a time nmi, irq-spurious, exception, vcpu-stall, bit-flip, tsc-jump
    /// or clock-jump, from the start vcpu-start, tsc-offset or tsc-drift, at accesses msr-fail,
    /// msr-lie, disk-error, disk-torn, disk-lost, disk-delay or disk-full, with settings such as
    /// `nmi:vcpu=1,at=5ms` or `disk-error:op=write,p=0.01,times=5` (docs/faults.md). It can be
    /// given several times
    #[arg(long, value_name = "SPEC")]
    pub(crate) fault: Vec<FaultSpec>,

    /// The seed of all random decisions; each further run takes the next seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Report a hang after this time without a sign of life, or `off`. For a running vCPU the
    /// processor time counts that the host gave it, so a busy host causes no hang. A guest from a
    /// file that sleeps then, with interrupts on and none pending, is quiet, which is not a failure
    /// [default: 3s; off for Linux, for bzImages, and for guests that run for ever]
    #[arg(long, value_name = "TIME")]
    pub(crate) watchdog: Option<Watchdog>,

    /// End a run after this time; that alone is not a failure
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,

    /// What a terminal does with keys: `raw` gives each key to the guest at once, also Ctrl-C
    /// (Ctrl-A x ends the run, Ctrl-A h lists keys); `lines` leaves the terminal as it is (Ctrl-C
    /// ends the run) [default: raw for one run of a guest from a file whose console is on a
    /// terminal, else lines]
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true)]
    pub(crate) console: Option<ConsoleMode>,

    /// Run this many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: Option<u64>,

    /// Run until a run fails (with --repeat: at most that number of runs)
    #[arg(long)]
    pub(crate) until_failure: bool,

    /// Search for the first failure again under control, as `hunt` does, and explain it
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) pages: PageArgs,

    /// The folder for the findings of --explain [default: .]
    #[arg(long, value_name = "DIR", value_parser = paths::output_folder())]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) confine: ConfineArgs,

    /// Print one JSON report on stdout, with the guest's console inside it
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the terminal does with the keys that the user types for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ConsoleMode {
    /// It passes on each key at once.
    Raw,
    /// It stays as it is.
    Lines,
}

impl RunArgs {
    /// Whether the guest is booted more than once, if it doesn't fail.
    pub(crate) fn is_repeated(&self) -> bool {
        self.until_failure || self.repeat.is_some()
    }

    /// The files that the options name and the machine or its scripts read.
    pub(crate) fn machine_files(&self) -> impl Iterator<Item = &Path> {
        let disks = self.machine.disk.iter().map(|disk| disk.path.as_path());
        let others = self.initrd.iter().chain(&self.probing.symbols).chain(&self.probing.probe);
        disks.chain(others.map(PathBuf::as_path))
    }

    /// The folder for the findings of --explain.
    pub(crate) fn out_folder(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("."))
    }
}

#[derive(Debug, Args)]
pub(crate) struct HuntArgs {
    /// A guest of the catalogue (`jitterbug guests`), or a kernel: an ELF file with a PVH note or a
    /// Multiboot image (docs/kernels.md)
    #[arg(value_name = "GUEST|FILE")]
    pub(crate) guest: String,

    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    #[command(flatten)]
    pub(crate) criteria: CriteriaArgs,

    /// The search strategy: portfolio (all that vary), random, uniform, pct, round-robin or
    /// schedule [default: portfolio; schedule if there is a --schedule]
    #[arg(long, value_name = "S", value_parser = str::parse::<StrategyKind>)]
    pub(crate) strategy: Option<StrategyKind>,

    /// The schedule to follow, such as `0@120>3@44>3!`, or a file with one, which may be a finding.
    /// After its end the last vCPU goes on
    #[arg(long, value_name = "SCHEDULE|@FILE")]
    pub(crate) schedule: Option<String>,

    /// What a vCPU does between two scheduling points: watch (one access to what vCPUs share) or
    /// instruction (one instruction; no page is trapped)
    #[arg(long, default_value_t, value_name = "G")]
    pub(crate) granularity: Granularity,

    /// Let a fault strike where the search chooses: ipi-drop, ipi-delay, ipi-duplicate,
    /// ipi-misroute, ipi-reorder, irq-drop, irq-spurious, nmi or bit-flip, with settings such as
    /// `ipi-delay:vector=0x40,for=1ms` (docs/faults.md). It can be given several times
    #[arg(long, value_name = "SPEC")]
    pub(crate) fault: Vec<FaultSpec>,

    /// Search nothing; let this fault strike at each place where it can, one after the other, while
    /// the vCPUs go on in turn. `ipi-drop:2` also tries every two places
    #[arg(
        long,
        value_name = "SPEC",
        conflicts_with_all = ["fault", "schedule", "strategy", "keep_going", "verify", "explain", "jobs"],
    )]
    pub(crate) faults: Option<FaultSpec>,

    /// The depth of the bugs to search for (pct)
    #[arg(long, default_value_t = 2, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) depth: u32,

    /// The maximum number of runs [default: no limit; 1 with round-robin and schedule]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: Option<u64>,

    /// The maximum time of the search
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) time: Option<Duration>,

    /// The seed of all random decisions
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// The number of runs made in parallel, each with a machine of its own, or `auto`: one for each
    /// CPU. The findings don't depend on it
    #[arg(long, default_value = "1", value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: u32,

    /// Cut a run short after this number of scheduling points
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) budget: u64,

    /// Report a hang, "by budget", when every vCPU has gone on for this number of scheduling points
    /// and none has changed anything but its own state [default: 20000, or 100000 with
    /// --granularity instruction]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) hang_budget: Option<u64>,

    /// Continue after a failure, and keep the shortest few findings of each kind
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// Run every schedule twice, and report schedules that come out differently (status 1)
    #[arg(long)]
    pub(crate) verify: bool,

    /// Explain the first failure (with --keep-going, the shortest finding of the same kind): which
    /// accesses, in which order, and the proof
    #[arg(long)]
    pub(crate) explain: bool,

    #[command(flatten)]
    pub(crate) pages: ReportArgs,

    /// The folder for findings
    #[arg(long, default_value = ".", value_name = "DIR", value_parser = paths::output_folder())]
    pub(crate) out: PathBuf,

    /// An ELF file with the guest's symbols, or `none` [default: the guest's image]
    #[arg(long, value_name = "FILE")]
    pub(crate) symbols: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) confine: ConfineArgs,

    /// Print one JSON report on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The finding's file
    #[arg(value_name = "FINDING", value_parser = paths::named_path())]
    pub(crate) finding: PathBuf,

    /// The guest, if it is not where the finding says; another build is followed by its symbols
    #[arg(long, value_name = "GUEST|FILE")]
    pub(crate) guest: Option<String>,

    #[command(flatten)]
    pub(crate) probing: ProbeArgs,

    /// Wait until gdb connects, and let it look at the replay and go through it, forwards and
    /// backwards (docs/gdb.md): on this TCP port of the loopback interface, or on a Unix socket
    #[arg(
        long,
        value_name = "SOCKET|PORT",
        conflicts_with_all = [
            "probe", "code", "set", "timestamps", "ring", "folded", "destructive", "trace",
            "strict_vp", "dump_pass", "repeat",
        ]
    )]
    pub(crate) gdb: Option<Address>,

    /// The number of replays
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,

    #[command(flatten)]
    pub(crate) confine: ConfineArgs,

    /// Print one JSON report on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A finding's file
    #[arg(value_name = "FINDING", value_parser = paths::named_path())]
    pub(crate) finding: PathBuf,

    /// The guest, if it is not where the finding says
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

    #[command(flatten)]
    pub(crate) confine: ConfineArgs,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// The number of vCPUs, from 1 to 64 [default: the guest's own, 1 for a file]
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<CpuCount>,

    /// The size of memory
    #[arg(long, default_value_t, value_name = "SIZE")]
    pub(crate) mem: MemorySize,

    /// The hypervisor that the guest sees: vmware, kvm or none
    #[arg(long, default_value_t, value_name = "I")]
    pub(crate) identity: Identity,

    /// Additional words for the guest's command line
    #[arg(long, default_value = "", value_name = "S")]
    pub(crate) cmdline: String,

    /// A disk with the contents of FILE, byte for byte (may be given up to 8 times). The guest's
    /// writes change the file, fail (`,read-only`), or are lost at the end (`,copy-on-write`). Not
    /// for `hunt` (docs/devices.md)
    #[arg(long, value_name = "FILE[,MODE]")]
    pub(crate) disk: Vec<DiskConfig>,

    /// A source of random numbers for the guest. Not for `hunt`
    #[arg(long)]
    pub(crate) rng: bool,

    /// A virtio console beside the serial port (in Linux: hvc0): it prints to the same output, and
    /// gets all input. Not for `hunt`
    #[arg(long)]
    pub(crate) virtio_console: bool,
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
