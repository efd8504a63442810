//! Searches under control for a failure of `run`, and explains it.

use anyhow::Result;
use experiments::commands::quoted;
use experiments::finding::Machine;
use experiments::hunt::Next;
use experiments::observed::FailureSignature;
use experiments::reproduce::{Other, Stopped, reproduce, search};
use experiments::{Finding, ObservedFailure, cause};
use vmm::GuestImage;
use vmm::boot::elf::{Image, names_shared_memory};

use crate::args::{PageFiles, RunArgs};
use crate::explain::{self, Files};
use crate::finding_folder::{FindingFolder, print_lost};
use crate::guest::Guest;
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
    let granularity = if can_watch(setting) { "" } else { "--granularity instruction " };
    let arguments = Machine::of(&setting.machine).arguments();
    format!("jitterbug hunt {arguments} {granularity}--explain")
}

/// Whether a search can watch what the vCPUs share, as it does by default.
pub(crate) fn can_watch(setting: &Setting) -> bool {
    let GuestImage { name, bytes } = &setting.machine.guest;
    names_shared_memory(Image { name, bytes })
}

/// What `--explain` needs besides the setting of the runs; checked before the runs.
pub(crate) struct Explaining<'a> {
    guest: &'a Guest,
    folder: FindingFolder<'a>,
    pages: PageFiles<'a>,
}

impl<'a> Explaining<'a> {
    /// Fails if no finding can be written in the folder.
    pub(crate) fn check(args: &'a RunArgs, guest: &'a Guest, pages: PageFiles<'a>) -> Result<Self> {
        Ok(Self { guest, folder: FindingFolder::check(args.out_folder(), guest)?, pages })
    }
}

/// What `--explain` found.
#[derive(Default)]
pub(crate) struct Explained {
    pub(crate) reproduction: Option<Reproduction>,
    pub(crate) explanation: Option<cause::Report>,
    /// Whether a finding could not be written.
    pub(crate) is_lost: bool,
}

/// Searches under control for the first failure, and explains it.
pub(crate) fn explain_failure(
    args: &RunArgs,
    setting: &Setting,
    explaining: &Explaining,
    runs: &[RunReport],
) -> Result<Explained> {
    let Some(failed) = runs.iter().find(|run| run.failed()) else {
        tell::user("jitterbug: no failure was found: nothing to explain");
        return Ok(Explained::default());
    };
    if failed.changes().are_faults() {
        tell::user(&format!(
            "jitterbug: --explain: a script changed the guest in this run ({}), and a search under \
             control runs without scripts",
            failed.changes()
        ));
        return Ok(Explained::default());
    }
    let Some(observed) = failed.observed(&command(args, setting)) else {
        let what = failed.description();
        tell::user(&format!(
            "jitterbug: --explain: a search under control finds nothing like: {what}"
        ));
        return Ok(Explained::default());
    };
    let Some(signature) = observed.signature() else {
        let why = "it isn't known in which functions the vCPUs hang: give the guest's --symbols";
        tell::user(&format!("jitterbug: --explain: {why}"));
        return Ok(Explained::default());
    };
    let Looked { report, finding, is_lost } =
        look(args, setting, &explaining.folder, (observed, signature))?;
    let Some(finding) = finding else {
        return Ok(Explained { reproduction: Some(report), explanation: None, is_lost });
    };
    let (host, symbols) = (&setting.host, setting.symbols.as_deref());
    let Explaining { guest, pages, .. } = explaining;
    let signals = &setting.signals;
    let files = report.file.as_deref().map_or_else(Files::none, |file| Files::of(file, None));
    let explained = explain::of_finding(host, guest, symbols, &finding, &files, pages, signals);
    let explanation = explain::or_told(explained);
    Ok(Explained { reproduction: Some(report), explanation, is_lost })
}

/// The result of a search under control.
struct Looked {
    report: Reproduction,
    finding: Option<Finding>,
    /// Whether a finding could not be written.
    is_lost: bool,
}

/// Searches for a failure, and reports the result.
fn look(
    args: &RunArgs,
    setting: &Setting,
    folder: &FindingFolder,
    (observed, signature): (ObservedFailure, FailureSignature),
) -> Result<Looked> {
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
            if setting.signals.end().is_some() { Next::Stop } else { Next::GoOn }
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
    // A finding that can't be written is printed, and the report follows.
    let mut is_lost = false;
    let mut save = |finding: &Finding| match folder.write(finding) {
        Ok(file) => Some(file.path),
        Err(error) => {
            is_lost = true;
            print_lost(finding, &error, tell::user);
            None
        }
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
            report.other_file = save(&other.first);
        }
        tell_others(&report);
        if reproduction.stopped.is_none() {
            tell::user(&format!("jitterbug: to look for longer: {}", hunt_command(setting)));
        }
        return Ok(Looked { report, finding: None, is_lost });
    };
    let file = save(&finding);
    let place = file.as_ref().map(|file| format!(": {}", quoted(&file.display().to_string())));
    let place = place.unwrap_or_default();
    let what = if report.observed.is_hang() { "the same stacks" } else { "the same failure" };
    tell::user(&format!(
        "jitterbug: {what} under control: {} in run {} ({runs}){place}",
        finding.verdict, finding.search.run
    ));
    report.file = file;
    tell_others(&report);
    Ok(Looked { report, finding: Some(finding), is_lost })
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
