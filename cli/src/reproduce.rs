//! Searches under control for a failure of `run`, and explains it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use experiments::commands::quoted;
use experiments::finding::Machine;
use experiments::hunt::Next;
use experiments::observed::FailureSignature;
use experiments::reproduce::{Other, Stopped, reproduce, search};
use experiments::{Finding, ObservedFailure, cause};

use crate::args::RunArgs;
use crate::explain::{self, Files};
use crate::guest::Guest;
use crate::hunt::keep;
use crate::progress::Progress;
use crate::report::{Reproduction, RunReport};
use crate::tell;
use crate::trial::Setting;

/// The command that makes such failures in real time, from time to time.
fn command(args: &RunArgs, setting: &Setting) -> String {
    let mut text = format!("jitterbug run {}", Machine::of(&setting.machine).arguments());
    if !setting.jitter.is_off() {
        text.push_str(" --jitter ");
        text.push_str(&quoted(&setting.jitter.to_string()));
    }
    if let (Some(window), Some(_)) = (setting.watchdog, &args.watchdog) {
        text.push_str(" --watchdog ");
        text.push_str(&quoted(&humantime::format_duration(window).to_string()));
    }
    text.push_str(" --until-failure");
    text
}

/// The command that searches for such failures under control.
pub(crate) fn hunt_command(setting: &Setting) -> String {
    format!("jitterbug hunt {} --explain", Machine::of(&setting.machine).arguments())
}

/// Searches under control for the first failure, and explains it.
pub(crate) fn explain_failure(
    args: &RunArgs,
    setting: &Setting,
    guest: &Guest,
    runs: &[RunReport],
) -> Result<(Option<Reproduction>, Option<cause::Report>)> {
    let Some(failed) = runs.iter().find(|run| run.failed()) else {
        tell::user("jitterbug: no failure was found: nothing to explain");
        return Ok((None, None));
    };
    if failed.changes().are_faults() {
        tell::user(&format!(
            "jitterbug: --explain: a script changed the guest in this run ({}), and a search under \
             control runs without scripts",
            failed.changes()
        ));
        return Ok((None, None));
    }
    let Some(observed) = failed.observed(&command(args, setting)) else {
        let what = failed.description();
        tell::user(&format!(
            "jitterbug: --explain: a search under control finds nothing like: {what}"
        ));
        return Ok((None, None));
    };
    let Some(signature) = observed.signature() else {
        let why = "it isn't known in which functions the vCPUs hang: give the guest's --symbols";
        tell::user(&format!("jitterbug: --explain: {why}"));
        return Ok((None, None));
    };
    let (report, finding) = look(args, setting, guest, (observed, signature))?;
    let (Some(finding), Some(file)) = (finding, &report.file) else {
        return Ok((Some(report), None));
    };
    let (host, symbols) = (&setting.host, setting.symbols.as_deref());
    let (pages, interrupts) = (args.pages.get(), &setting.interrupts);
    let files = Files::of(file, None);
    let explained = explain::of_finding(host, guest, symbols, &finding, &files, pages, interrupts);
    let explained = explain::or_told(explained)?;
    Ok((Some(report), explained))
}

/// Searches for a failure, and reports the result.
fn look(
    args: &RunArgs,
    setting: &Setting,
    guest: &Guest,
    (observed, signature): (ObservedFailure, FailureSignature),
) -> Result<(Reproduction, Option<Finding>)> {
    tell::user(&format!("jitterbug: looking under control for: {signature}"));
    let progress = Progress::of(None);
    let search = search(&setting.machine, args.seed);
    let symbols = setting.symbols.as_deref();
    let reproduction =
        reproduce(&setting.host, &search, symbols, (&observed, &signature), |searched| {
            let rate = searched.runs as f64 / progress.seconds().max(1e-3);
            progress.message(format!(
                "{} runs, {rate:.0} runs/s, {} other failures",
                searched.runs, searched.failed
            ));
            // A signal that arrived during the runs has already been received there.
            if setting.interrupts.end().is_some() { Next::Stop } else { Next::GoOn }
        })?;
    progress.finish();
    let mut report = Reproduction {
        observed,
        runs: reproduction.runs,
        cut_short: reproduction.cut_short,
        seconds: reproduction.time.as_secs_f64(),
        file: None,
        others: reproduction.others,
        other_file: None,
    };
    let runs = format!("{} runs in {:.1} s", reproduction.runs, report.seconds);
    let Some(finding) = reproduction.found else {
        let why = match reproduction.stopped {
            Some(Stopped::Asked) => ", interrupted",
            Some(Stopped::Endless) => ": no run came to an end, as if vCPUs shared nothing",
            None => "",
        };
        let cut_short = reproduction.cut_short;
        tell::user(&format!("jitterbug: not found: {runs}, {cut_short} cut short{why}"));
        if let Some(other) = report.others.first() {
            report.other_file = Some(save(args.out_folder(), guest, &other.first)?);
        }
        tell_others(&report);
        if reproduction.stopped.is_none() {
            tell::user(&format!("jitterbug: to look for longer: {}", hunt_command(setting)));
        }
        return Ok((report, None));
    };
    let file = save(args.out_folder(), guest, &finding)?;
    let what = if report.observed.is_hang() { "the same stacks" } else { "the same failure" };
    tell::user(&format!(
        "jitterbug: {what} under control: {} in run {} ({runs}): {}",
        finding.verdict,
        finding.search.run,
        quoted(&file.display().to_string())
    ));
    report.file = Some(file);
    tell_others(&report);
    Ok((report, Some(finding)))
}

/// Reports other failures.
fn tell_others(report: &Reproduction) {
    for Other { failure, times, .. } in &report.others {
        let plural = if *times == 1 { "" } else { "s" };
        tell::user(&format!("  another failure, {times} time{plural}: {failure}"));
    }
    if let Some(file) = &report.other_file {
        let file = file.display().to_string();
        tell::user(&format!("  the first of these: jitterbug explain {}", quoted(&file)));
    }
}

fn save(folder: &Path, guest: &Guest, finding: &Finding) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("--out {}: can't be made", folder.display()))?;
    Ok(keep(folder, guest, finding)?.0)
}
