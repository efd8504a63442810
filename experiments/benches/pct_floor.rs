//! Measures how often PCT finds the bug of each guest, and compares it with the guarantee.
//!
//! ```text
//! cargo bench -p jitterbug-experiments --bench pct_floor -- 10000 [GUEST...]
//! ```
//! PCT guarantees a probability of at least 1/(n k^(d-1)) a run: n vCPUs, k scheduling points a
//! run, d the depth of the bug. A line is `ok` if, at a rate as low as the guarantee, less than one
//! of a hundred such measurements would have this many hits or more. It is `tight` if the
//! measurement can't distinguish the rate from the guarantee: some bugs are as rare as PCT allows.
//! It is `BELOW`, with exit status 1, if the rate is certainly lower.

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;

use experiments::hunt::{Next, Progress};
use experiments::{Hunt, StrategySpec, hunt};
use guests::Guest;
use vmm::controlled::{ControlledMachine, Granularity};
use vmm::identity::Identity;
use vmm::kvm::host::DEFAULT_DEVICE;
use vmm::memory::MemorySize;
use vmm::{CpuCount, Criteria, GuestImage, Host, MachineConfig};

/// The confidence of a bound.
const CONFIDENCE: f64 = 0.99;

fn main() -> ExitCode {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let (runs, names) = match arguments.split_first() {
        None => (2000, &[][..]),
        Some((runs, names)) => match runs.parse::<u64>() {
            Ok(runs @ 1..) => (runs, names),
            _ => return refuse("give a number of runs, and guests if not all are meant"),
        },
    };
    let host = match Host::open(Path::new(DEFAULT_DEVICE)) {
        Ok(host) => host,
        Err(error) => return refuse(&error.to_string()),
    };
    let buggy = guests::catalogue().iter().filter(|guest| guest.bug.is_some());
    let chosen: Vec<_> =
        buggy.filter(|guest| names.is_empty() || names.iter().any(|n| n == guest.name)).collect();
    if chosen.is_empty() {
        return refuse("no guest of that name has a bug");
    }
    println!(
        "{:<14} {:>2} {:>4} {:>2} {:>6} {:>6} {:>9} {:>9} {:>9} {:>9}",
        "guest", "n", "k", "d", "runs", "hits", "rate", "99% from", "99% to", "floor"
    );
    let mut below = 0;
    for guest in chosen {
        match measure(&host, guest, runs) {
            Ok(line) => below += u32::from(line.show(guest.name)),
            Err(error) => return refuse(&format!("{}: {error}", guest.name)),
        }
    }
    if below == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("pct_floor: {message}");
    ExitCode::from(2)
}

/// The measurement of one guest.
struct Line {
    n: u32,
    depth: u32,
    searched: Progress,
}

fn measure(host: &Host, guest: &Guest, runs: u64) -> vmm::Result<Line> {
    let depth = guest.bug.as_ref().map_or(1, |bug| bug.depth);
    let setting = Hunt {
        machine: MachineConfig {
            initrd: None,
            guest: GuestImage { name: guest.name.into(), bytes: Cow::Borrowed(guest.image) },
            cpus: CpuCount::new(guest.default_cpus)?,
            memory: MemorySize::default(),
            identity: Identity::default(),
            command_line: String::new(),
            disks: Vec::new(),
            rng: false,
            virtio_console: false,
            faults: Vec::new(),
            granularity: Granularity::default(),
            criteria: Criteria::default(),
        },
        strategy: StrategySpec::Pct { depth },
        seed: 1,
        runs,
        time: None,
        budget: 1_000_000,
        hang_budget: ControlledMachine::HANG_BUDGET,
        jobs: 1,
        keep_going: true,
        verify: false,
    };
    let searched = hunt(host, &setting, None, |_, _| Next::GoOn)?;
    Ok(Line { n: guest.default_cpus, depth, searched })
}

impl Line {
    /// Prints the measurement; true if the rate is lower than the guarantee.
    fn show(&self, name: &str) -> bool {
        let Progress { runs, failed, longest, .. } = self.searched;
        let (n, depth) = (self.n, self.depth);
        let rate = failed as f64 / runs as f64;
        let lower = lower_bound(failed, runs);
        // The number of runs that don't fail is bounded in the same way.
        let upper = 1.0 - lower_bound(runs - failed, runs);
        let floor = 1.0 / (f64::from(n) * (longest as f64).powi(depth as i32 - 1));
        let verdict = match () {
            () if lower >= floor => "ok",
            () if upper >= floor => "tight",
            () => "BELOW",
        };
        println!(
            "{name:<14} {n:>2} {longest:>4} {depth:>2} {runs:>6} {failed:>6} {rate:>9.6} {lower:>9.6} \
             {upper:>9.6} {floor:>9.6} {verdict}"
        );
        upper < floor
    }
}

/// The lowest rate that this number of hits doesn't refute (Clopper and Pearson: "The use of
/// confidence or fiducial limits illustrated in the case of the binomial", Biometrika 26, 1934):
/// the rate at which this number of hits or more has a probability of `1 - CONFIDENCE`.
fn lower_bound(hits: u64, runs: u64) -> f64 {
    if hits == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, hits as f64 / runs as f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_least(hits, runs, middle) < 1.0 - CONFIDENCE {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The probability of at least this number of hits.
fn at_least(hits: u64, runs: u64, rate: f64) -> f64 {
    // Each term of the binomial distribution is computed from the one before, as a logarithm,
    // because the first is tiny.
    let (yes, no) = (rate.ln(), (-rate).ln_1p());
    let mut term = runs as f64 * no;
    let mut sum = 0.0;
    for i in 0..hits {
        sum += term.exp();
        term += ((runs - i) as f64).ln() - ((i + 1) as f64).ln() + yes - no;
    }
    1.0 - sum
}
