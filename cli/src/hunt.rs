//! `jitterbug hunt`: searches interleavings for a failure.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use experiments::cause::can_explain;
use experiments::hunt::{Next, Progress as Searched, Told};
use experiments::{Finding, Hunt, Schedule, StrategyKind, StrategySpec, commands, hunt};
use probes::{Stack, Symbols};
use serde::Serialize;
use vmm::interrupts::{Interrupts, Second};
use vmm::{Host, MachineConfig};

use crate::args::{Cli, HuntArgs};
use crate::explain;
use crate::guest::Guest;
use crate::progress::Progress;
use crate::report::print_json;
use crate::status::Status;
use crate::tell;
use crate::writer;

/// The report of `hunt --json`.
#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    guest: &'a str,
    strategy: &'a str,
    granularity: &'a str,
    depth: Option<u32>,
    seed: u64,
    seconds: f64,
    runs: u64,
    distinct: u64,
    failed: u64,
    cut_short: u64,
    diverged: u64,
    points: u64,
    hashes: String,
    findings: &'a [Found],
    /// Of the first finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<experiments::cause::Report>,
}

/// A failure and the file that it was written to.
#[derive(Serialize)]
struct Found {
    file: PathBuf,
    after_seconds: f64,
    finding: Finding,
}

/// Searches, reports, and says what it comes to.
pub(crate) fn run(cli: &Cli, args: &HuntArgs) -> Result<Status> {
    let start = Instant::now();
    args.pages.get().check(args.explain)?;
    if args.explain {
        can_explain(args.granularity)?;
    }
    let interrupts = Interrupts::take(Second::Ends, writer::hurry)?;
    let guest = Guest::find(&args.guest)?;
    let symbols = guest.symbols(args.symbols.as_deref())?;
    let strategy = strategy(args)?;
    let setting = Hunt {
        machine: MachineConfig {
            granularity: args.granularity,
            criteria: args.criteria.criteria(symbols.as_deref(), guest.may_idle)?,
            ..guest.machine(&args.machine)?
        },
        runs: args.runs.unwrap_or(if strategy.varies() { u64::MAX } else { 1 }),
        strategy,
        seed: args.seed,
        time: args.time,
        budget: args.budget,
        hang_budget: hang_budget(args)?,
        jobs: args.jobs,
        keep_going: args.keep_going,
        verify: args.verify,
    };
    let host = Host::open(&cli.kvm)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("--out {}: can't be made", args.out.display()))?;
    let progress = Progress::of(args.runs);
    let mut found: Vec<Found> = Vec::new();
    let (mut broken, mut interrupted) = (None, false);
    let searched = hunt(&host, &setting, symbols.as_deref(), |searched, told| {
        if let Told::Diverged(run, divergence) = told {
            progress.print(&format!(
                "jitterbug: run {run}: the same schedule came out differently: {divergence}"
            ));
        }
        if let Told::Failed(finding) = told {
            match keep(&args.out, &guest, finding) {
                Ok(file) => {
                    let after_seconds = start.elapsed().as_secs_f64();
                    show(&progress, finding, &file, searched, after_seconds, found.is_empty());
                    found.push(Found { file, after_seconds, finding: finding.clone() });
                }
                Err(error) => broken = Some(error),
            }
        }
        let rate = searched.runs as f64 / progress.seconds().max(1e-3);
        progress.message(format!(
            "{} runs, {rate:.0} runs/s, {} distinct schedules, {} failures",
            searched.runs, searched.distinct, searched.failed
        ));
        interrupted |= interrupts.arrived();
        if broken.is_some() || interrupted { Next::Stop } else { Next::GoOn }
    })
    .map_err(|error| with_place(error, symbols.as_deref()))?;
    progress.finish();
    if let Some(error) = broken {
        return Err(error);
    }
    if searched.runs == 0 && !interrupted {
        bail!("no run was made: give --time more room");
    }
    let seconds = start.elapsed().as_secs_f64();
    summarise(&searched, seconds, args.verify, &found);
    let explanation = if args.explain {
        explain_first(&host, &guest, symbols.as_deref(), &found, args, &interrupts)?
    } else {
        None
    };
    if let Some(report) = explanation.as_ref().filter(|_| !args.json) {
        explain::show(report)?;
    }
    if args.json {
        print_json(&Report {
            format: crate::report::FORMAT,
            guest: &args.guest,
            strategy: setting.strategy.kind().name(),
            granularity: args.granularity.name(),
            depth: setting.strategy.depth(),
            seed: args.seed,
            seconds,
            runs: searched.runs,
            distinct: searched.distinct,
            failed: searched.failed,
            cut_short: searched.cut_short,
            diverged: searched.diverged,
            points: searched.points,
            hashes: format!("{:016x}", searched.hashes),
            findings: &found,
            explanation,
        })?;
    }
    let clean = searched.failed == 0 && searched.diverged == 0;
    Ok(if clean { Status::Clean } else { Status::Failure })
}

/// Explains the first failure.
fn explain_first(
    host: &Host,
    guest: &Guest,
    symbols: Option<&Symbols>,
    found: &[Found],
    args: &HuntArgs,
    interrupts: &Interrupts,
) -> Result<Option<experiments::cause::Report>> {
    let Some(Found { finding, file, .. }) = found.first() else {
        tell::user("jitterbug: no failure was found: nothing to explain");
        return Ok(None);
    };
    let pages = args.pages.get();
    let explained = explain::of_finding(host, guest, symbols, finding, file, pages, interrupts);
    explain::or_told(explained)
}

/// Writes a finding to a file of its own: `GUEST-SEED-RUN.finding`.
pub(crate) fn keep(folder: &Path, guest: &Guest, finding: &Finding) -> Result<PathBuf> {
    let stem = Path::new(&guest.image.name).file_stem().unwrap_or_default().to_string_lossy();
    let file =
        folder.join(format!("{stem}-{}-{}.finding", finding.search.seed, finding.search.run));
    finding.write(&file)?;
    Ok(file)
}

fn show(
    progress: &Progress,
    finding: &Finding,
    file: &Path,
    searched: &Searched,
    seconds: f64,
    in_full: bool,
) {
    progress.print(&format!(
        "jitterbug: {} in run {} after {seconds:.2} s ({} runs)",
        finding.verdict, finding.search.run, searched.runs
    ));
    if in_full {
        for row in &finding.waits {
            progress.print(&row.to_string());
        }
        progress.print(&format!("schedule: {}", finding.schedule));
    }
    progress.print(&format!("again: jitterbug replay {}", quoted(file)));
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    commands::quoted(&path.display().to_string()).into_owned()
}

fn summarise(searched: &Searched, seconds: f64, verified: bool, found: &[Found]) {
    // Of several, the first is far above by now.
    if let [first, _, ..] = found {
        tell::user(&format!(
            "jitterbug: first: {} in run {} after {:.2} s: jitterbug replay {}",
            first.finding.verdict,
            first.finding.search.run,
            first.after_seconds,
            quoted(&first.file)
        ));
    }
    let repeatable = if verified || searched.diverged > 0 {
        format!(", {} not repeatable", searched.diverged)
    } else {
        String::new()
    };
    tell::user(&format!(
        "jitterbug: {} runs ({} distinct) in {seconds:.1} s, {} failed, {} cut short{repeatable}",
        searched.runs, searched.distinct, searched.failed, searched.cut_short
    ));
}

/// An error of a vCPU, with the name of the place where it is.
fn with_place(error: vmm::Error, symbols: Option<&Symbols>) -> anyhow::Error {
    let rip = match &error {
        vmm::Error::Watched { rip, .. } | vmm::Error::Step { rip, .. } => *rip,
        _ => return error.into(),
    };
    match symbols.filter(|symbols| symbols.function(rip).is_some()) {
        Some(symbols) => {
            let place = Stack::new(&[rip], Some(symbols));
            anyhow::Error::new(error).context(format!("in {place}"))
        }
        None => error.into(),
    }
}

/// The hang budget: one that is asked for must be able to do something.
fn hang_budget(args: &HuntArgs) -> Result<u64> {
    match args.hang_budget {
        Some(points) if points >= args.budget => {
            bail!(
                "--hang-budget {points}: a run ends after {} points (--budget): give less",
                args.budget
            )
        }
        Some(points) => Ok(points),
        None => Ok(args.granularity.hang_budget()),
    }
}

/// The strategy that the arguments ask for.
fn strategy(args: &HuntArgs) -> Result<StrategySpec> {
    Ok(match (args.strategy, &args.schedule) {
        (None | Some(StrategyKind::Schedule), Some(given)) => {
            StrategySpec::Schedule(schedule(given)?)
        }
        (Some(other), Some(_)) => {
            bail!("--schedule: that is for --strategy schedule, not for {other}")
        }
        (Some(StrategyKind::Schedule), None) => {
            bail!("--strategy schedule: say which by --schedule, such as 0@120>3@44>3! or @FILE")
        }
        (Some(StrategyKind::RoundRobin), None) => StrategySpec::RoundRobin,
        (None | Some(StrategyKind::Random), None) => StrategySpec::Random,
        (Some(StrategyKind::Pct), None) => StrategySpec::Pct { depth: args.depth },
    })
}

/// The schedule that `--schedule` gives, in itself or by a file.
fn schedule(given: &str) -> Result<Schedule> {
    let schedule: Schedule = match given.strip_prefix('@') {
        None => given.parse().context("--schedule")?,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("--schedule @{path}: can't be read"))?;
            if Finding::begins(&text) {
                Finding::read(Path::new(path)).context("--schedule")?.schedule()?
            } else {
                text.parse().with_context(|| format!("--schedule @{path}"))?
            }
        }
    };
    if schedule.points() == 0 {
        bail!("--schedule {given}: it is empty");
    }
    Ok(schedule)
}
