//! `jitterbug hunt --faults`: a fault at each place where it can strike.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use experiments::finding::Machine;
use experiments::hunt::{Next, SweepEvent, Swept, sweep};
use experiments::{Finding, Hunt, StrategySpec};
use inspect::Symbols;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::Host;
use vmm::fault::Strike;
use vmm::signals::Signals;

use super::findings::quoted;
use crate::args::HuntArgs;
use crate::document::{FORMAT, print_json};
use crate::finding_folder::{FindingFolder, LOST, print_lost};
use crate::guest::Guest;
use crate::progress::Progress;
use crate::status::{self, Status, conclude};
use crate::{tell, writer};

/// How many findings of the same fault in the same place are written.
const KEPT: usize = 3;

/// The report of `hunt --faults --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Sweep")]
pub(crate) struct SweepReport<'a> {
    format: u32,
    /// The exit status; `outcome` is its name.
    status: u8,
    outcome: &'static str,
    interrupted: bool,
    machine: Machine,
    seconds: f64,
    /// Runs, with the one without a fault.
    runs: u64,
    /// The scheduling points of the run without a fault.
    points: u64,
    /// Whether the run without a fault failed or came to no end; no fault was tried then.
    unfit: bool,
    /// For one fault, two faults and so on.
    levels: Vec<Level>,
    cut_short: u64,
    /// Places that were left out because there are too many.
    left_out: u64,
    diverged: u64,
    /// Whether every place was tried.
    complete: bool,
    /// What fails, by the fault and its place.
    sites: &'a [Site],
}

/// The places of a number of faults.
#[derive(JsonSchema, Serialize)]
struct Level {
    /// The number of faults in each of these runs.
    faults: usize,
    places: u64,
    tried: u64,
    failed: u64,
}

/// The runs that fail in the same way by the same faults in the same places of the code.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Site {
    /// What the faults did, and where.
    faults: Vec<String>,
    /// How these runs failed.
    failure: String,
    /// How many of these runs failed.
    failed: u64,
    /// The first findings.
    files: Vec<PathBuf>,
}

/// Sweeps, reports, and returns the exit status.
pub(super) fn run(
    host: &Host,
    args: &HuntArgs,
    guest: &Guest,
    setting: Hunt,
    symbols: Option<&Symbols>,
    signals: &Signals,
) -> Result<Status> {
    let setting = Hunt { strategy: StrategySpec::RoundRobin, ..setting };
    let setting = Hunt { runs: args.runs.unwrap_or(u64::MAX), ..setting };
    let progress = Progress::of(args.runs);
    let mut sites =
        Sites { folder: FindingFolder::check(&args.out, guest)?, found: Vec::new(), lost: false };
    let mut interrupted = None;
    let mut last = Swept::default();
    writer::limit(args.time);
    let cancel = signals.cancel();
    let swept = sweep(host, &setting, symbols, &cancel, |swept, event| {
        last.clone_from(swept);
        sites.take(&progress, event);
        progress.message(format!(
            "{} runs, {} failures",
            swept.runs,
            swept.failed.iter().sum::<u64>()
        ));
        if signals.arrived() {
            interrupted = signals.end();
        }
        if sites.lost || interrupted.is_some() { Next::Stop } else { Next::GoOn }
    });
    // After a signal in the middle of a run, or an error, what was found before is reported.
    let (swept, error) = match swept {
        Ok(swept) => (swept, None),
        Err(vmm::Error::Cancelled) => {
            interrupted = interrupted.or_else(|| signals.end());
            (last, None)
        }
        Err(error) => (last, Some(super::with_place(error, symbols))),
    };
    progress.finish();
    writer::limit(None);
    let failed: u64 = swept.failed.iter().sum();
    let cut = interrupted.is_some() || error.is_some();
    let nowhere = swept.places.is_empty() && !swept.unfit && !cut;
    let ended = swept.runs > swept.cut_short + u64::from(!swept.unfit);
    let status = match interrupted {
        _ if sites.lost => Status::Lost,
        _ if failed > 0 || swept.diverged > 0 || swept.unfit && swept.cut_short == 0 => {
            Status::Failure
        }
        Some(signal) => Status::interrupted(signal),
        None if nowhere => Status::Input,
        None if error.is_some() => error.as_ref().map_or(Status::Input, status::of),
        None if !ended => Status::Nothing,
        None => Status::Clean,
    };
    let fault = args.faults.as_ref().map(ToString::to_string).unwrap_or_default();
    summarise(&swept, &sites, &fault, interrupted.is_some(), progress.seconds());
    let printed = if args.json {
        print_json(&report(
            &swept,
            &sites,
            &setting,
            status,
            interrupted.is_some(),
            progress.seconds(),
        ))
    } else {
        Ok(())
    };
    let silent = nowhere.then(|| {
        anyhow!(
            "--faults {fault}: the run without a fault gives no occasion for it in {} scheduling points",
            swept.points
        )
    });
    conclude(status, error.into_iter().chain(printed.err()).chain(silent).collect())
}

/// What fails, and the files.
struct Sites<'a> {
    folder: FindingFolder<'a>,
    found: Vec<Site>,
    /// Whether a finding could not be written.
    lost: bool,
}

impl Sites<'_> {
    fn take(&mut self, progress: &Progress, event: SweepEvent) {
        match event {
            SweepEvent::Begins | SweepEvent::Passed(_) => {}
            SweepEvent::CutShort(strikes, place) => {
                progress.print(&format!("jitterbug: cut short: {place}{}", words(strikes)));
            }
            SweepEvent::Diverged(run, divergence) => progress.print(&format!(
                "jitterbug: run {run}: the same schedule came out differently: {divergence}"
            )),
            SweepEvent::Failed(finding) => self.add(progress, finding),
        }
    }

    fn add(&mut self, progress: &Progress, finding: &Finding) {
        let faults: Vec<_> = finding
            .faults
            .iter()
            .map(|fault| format!("{}, in {}", fault.what, fault.place))
            .collect();
        let failure = finding.signature().to_string();
        let is_same = |site: &Site| site.faults == faults && site.failure == failure;
        let number = self.found.iter().position(is_same).unwrap_or_else(|| {
            self.found.push(Site { faults, failure, failed: 0, files: Vec::new() });
            self.found.len() - 1
        });
        let site = &mut self.found[number];
        site.failed += 1;
        if site.files.len() == KEPT || self.lost {
            return;
        }
        match self.folder.write(finding) {
            Ok(file) => site.files.push(file.path),
            Err(error) => {
                self.lost = true;
                print_lost(finding, &error, |text| progress.print(text));
            }
        }
    }
}

/// The faults of a run, behind a colon.
fn words(strikes: &[Strike]) -> String {
    if strikes.is_empty() {
        return ", without a fault".into();
    }
    let each: Vec<_> =
        strikes.iter().map(|strike| format!("at point {} {strike}", strike.point)).collect();
    format!("; {}", each.join("; "))
}

fn summarise(swept: &Swept, sites: &Sites, fault: &str, interrupted: bool, seconds: f64) {
    for site in &sites.found {
        let times =
            if site.failed == 1 { String::new() } else { format!(" ({} times)", site.failed) };
        if site.faults.is_empty() && swept.unfit {
            tell::user(&format!("jitterbug: without a fault: {}", site.failure));
        } else {
            tell::user(&format!("jitterbug: {}: {}{times}", site.faults.join("; "), site.failure));
        }
        for file in &site.files {
            tell::user(&format!("  again: jitterbug replay {}", quoted(file)));
        }
    }
    if sites.lost {
        tell::user(LOST);
    }
    if swept.unfit {
        tell::user(if swept.cut_short > 0 {
            "jitterbug: the run without a fault came to no end, so no fault was tried: give a larger \
             --budget"
        } else {
            "jitterbug: the run without a fault failed, so no fault was tried: hunt without --faults first"
        });
    }
    for (number, ((places, tried), failed)) in
        swept.places.iter().zip(&swept.tried).zip(&swept.failed).enumerate()
    {
        let what = match number {
            0 => "places".to_owned(),
            1 => "pairs of places".to_owned(),
            more => format!("sets of {} places", more + 1),
        };
        tell::user(&format!(
            "jitterbug: {fault}: {failed} of {tried} {what} fail{}",
            untried(places - tried)
        ));
    }
    if swept.left_out > 0 {
        tell::user(&format!(
            "jitterbug: {} places were left out: there are too many",
            swept.left_out
        ));
    }
    let how = if interrupted {
        "interrupted: "
    } else if swept.unfit || swept.complete {
        ""
    } else {
        "not complete: "
    };
    tell::user(&format!(
        "jitterbug: {how}{} runs in {seconds:.1} s, the one without a fault of {} scheduling points; {} cut short",
        swept.runs, swept.points, swept.cut_short
    ));
}

fn untried(count: u64) -> String {
    if count == 0 { String::new() } else { format!(" ({count} not tried)") }
}

fn report<'a>(
    swept: &Swept,
    sites: &'a Sites,
    setting: &Hunt,
    status: Status,
    interrupted: bool,
    seconds: f64,
) -> SweepReport<'a> {
    let levels = swept.places.iter().zip(&swept.tried).zip(&swept.failed).zip(1..);
    let levels = levels.map(|(((places, tried), failed), faults)| Level {
        faults,
        places: *places,
        tried: *tried,
        failed: *failed,
    });
    SweepReport {
        format: FORMAT,
        status: status as u8,
        outcome: status.name(),
        interrupted,
        machine: Machine::of(&setting.machine),
        seconds,
        runs: swept.runs,
        points: swept.points,
        unfit: swept.unfit,
        levels: levels.collect(),
        cut_short: swept.cut_short,
        left_out: swept.left_out,
        diverged: swept.diverged,
        complete: swept.complete,
        sites: &sites.found,
    }
}
