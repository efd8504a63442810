//! `jitterbug hunt`: searches interleavings for a failure.

mod arguments;
mod findings;
mod summary;
mod sweep;

use std::time::Duration;

use anyhow::{Result, anyhow};
use experiments::cause::can_explain;
use experiments::hunt::{Next, Progress as Searched, SearchEvent};
use experiments::{Hunt, hunt};
use inspect::{Stack, Symbols};
use vmm::controlled::can_control;
use vmm::fault::FaultKind;
use vmm::signals::{Second, Signals};
use vmm::{Host, MachineConfig};

use crate::args::{Cli, HuntArgs, PageFiles, resolved};
use crate::confine::{self, Files};
use crate::document::print_json;
use crate::explain;
use crate::guest::Guest;
use crate::progress::Progress;
use crate::status::{Status, conclude};
use crate::tell;
use crate::{signals, writer};
use arguments::{hang_budget, strategy};
use findings::Findings;
use summary::{Repetitions, Summary};

#[cfg(test)]
pub(crate) use summary::Report;
#[cfg(test)]
pub(crate) use sweep::SweepReport;

/// Searches, reports, and returns the exit status.
pub(crate) fn run(cli: &Cli, args: &HuntArgs) -> Result<Status> {
    let pages = args.pages.get().check(args.explain)?;
    if args.explain {
        can_explain(args.granularity)?;
    }
    let signals = signals::take(Second::Ends)?;
    let guest = Guest::find(&args.guest, &signals)?;
    let symbols = guest.symbols(args.symbols.as_deref(), &signals)?;
    let strategy = strategy(args, &signals)?;
    let setting = Hunt {
        machine: MachineConfig {
            granularity: args.granularity,
            criteria: args.criteria.criteria(symbols.as_deref(), guest.may_idle)?,
            faults: resolved(args.fault.iter().chain(&args.faults), symbols.as_deref())?,
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
    can_control(&setting.machine)?;
    let host = Host::open(&cli.kvm)?;
    let mut found = Findings::check(&args.out, &guest, args.keep_going)?;
    let mut files = Files::none().make_in(&args.out);
    if args.explain {
        files = files.pages(args.pages.get());
    }
    confine::files(&args.confine, &files, &signals)?;
    confine::calls(&args.confine)?;
    if args.faults.is_some() {
        return sweep::run(&host, args, &guest, setting, symbols.as_deref(), &signals);
    }
    let progress = Progress::of(args.runs);
    let mut repetitions = Repetitions::default();
    let mut interrupted = None;
    writer::limit(args.time);
    let searched = hunt(&host, &setting, symbols.as_deref(), |searched, told| {
        match told {
            SearchEvent::Diverged(run, divergence) => progress.print(&format!(
                "jitterbug: run {run}: the same schedule came out differently: {divergence}"
            )),
            SearchEvent::Failed(finding) => found.add(&progress, finding, searched),
            SearchEvent::Idle | SearchEvent::Passed => {}
        }
        if let Some(line) = repetitions.tell(searched, args) {
            progress.print(&line);
        }
        let rate = searched.runs as f64 / progress.seconds().max(1e-3);
        progress.message(format!(
            "{} runs, {rate:.0} runs/s, {} distinct schedules, {} failures",
            searched.runs, searched.distinct, searched.failed
        ));
        if signals.arrived() {
            interrupted = signals.end();
        }
        if found.is_lost() || interrupted.is_some() { Next::Stop } else { Next::GoOn }
    })
    .map_err(|error| with_place(error, symbols.as_deref()))?;
    progress.finish();
    // A search that ends before its time has as long for its report as the reader takes.
    let is_late = args.time.is_some_and(|time| progress.seconds() >= time.as_secs_f64());
    let readers_time = is_late.then_some(Duration::ZERO);
    writer::limit(readers_time);
    let silent = silent_faults(&setting, &searched);
    let status = match interrupted {
        _ if found.is_lost() => Status::Lost,
        _ if searched.failed > 0 || searched.diverged > 0 => Status::Failure,
        Some(signal) => Status::interrupted(signal),
        None if searched.runs == searched.cut_short => Status::Nothing,
        None if !silent.is_empty() => Status::Input,
        None => Status::Clean,
    };
    let summary = Summary {
        searched: &searched,
        setting: &setting,
        status,
        interrupted: interrupted.is_some(),
        seconds: progress.seconds(),
    };
    summary.tell(&found, cli.verbose > 0);
    let explanation = if args.explain {
        explain_first(&host, &guest, symbols.as_deref(), &found, &pages, &signals)
    } else {
        None
    };
    // The explanation may have taken longer than that.
    writer::limit(readers_time);
    let printed = if args.json {
        print_json(&summary.report(&found, explanation))
    } else {
        explanation.as_ref().map_or(Ok(()), explain::show)
    };
    conclude(status, printed.err().into_iter().chain(silent).collect())
}

/// The faults that never struck, each as an error: nothing was searched with them.
fn silent_faults(setting: &Hunt, searched: &Searched) -> Vec<anyhow::Error> {
    let faults = setting.machine.faults.iter().zip(&searched.faults);
    let silent = faults.filter(|(_, tally)| tally.struck == 0);
    silent
        .map(|(fault, tally)| match tally.possible {
            0 => anyhow!(
                "--fault {fault}: it never struck, because there was no occasion for it in {} runs",
                searched.runs
            ),
            possible => anyhow!(
                "--fault {fault}: it never struck, although it could have in {possible} of {} runs: {}",
                searched.runs,
                if !setting.strategy.varies() {
                    "the schedule doesn't let it"
                } else if fault.kind == FaultKind::BitFlip {
                    "no page table maps its address to memory, or code is there"
                } else {
                    "make more --runs"
                }
            ),
        })
        .collect()
}

/// Explains the first failure; if several findings of its kind were kept, the shortest.
fn explain_first(
    host: &Host,
    guest: &Guest,
    symbols: Option<&Symbols>,
    found: &Findings,
    pages: &PageFiles,
    signals: &Signals,
) -> Option<experiments::cause::Report> {
    let Some((finding, file)) = found.first() else {
        tell::user("jitterbug: no failure was found: nothing to explain");
        return None;
    };
    let files = file.map_or_else(explain::Files::none, |file| explain::Files::of(file, None));
    let explained = explain::of_finding(host, guest, symbols, finding, &files, pages, signals);
    explain::or_told(explained)
}

/// Adds the name of the place to an error of a vCPU.
fn with_place(error: vmm::Error, symbols: Option<&Symbols>) -> anyhow::Error {
    let rip = match &error {
        vmm::Error::Trapped { rip, .. } | vmm::Error::Step { rip, .. } => *rip,
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
