//! `jitterbug experiment`: makes the runs of an experiment file, and reports them.

mod build;
mod compare;
mod files;
mod page;
mod percent;
mod prepared;
mod show;
mod stamps;
mod worker;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use experiments::campaign::{
    self, Description, Ended, Failed, Report, RunRecord, Store, Tally, Work, builds,
};
use experiments::experiment::Experiment;
use vmm::Host;
use vmm::signals::{Second, Signals};

use crate::args::{
    Cli, ExperimentCommand, ExperimentMergeArgs, ExperimentReportArgs, ExperimentResumeArgs,
    ExperimentRunArgs, WorkArgs,
};
use crate::confine::{self, Files};
use crate::document::print_json;
use crate::file::OutputFile;
use crate::progress::Progress;
use crate::scripts::style;
use crate::status::{Status, conclude};
use crate::{input, signals, tell};
use prepared::Prepared;
use worker::Worker;

/// Does what the arguments say, and returns the exit status.
pub(crate) fn run(cli: &Cli, command: &ExperimentCommand) -> Result<Status> {
    match command {
        ExperimentCommand::Run(args) => begin(cli, args),
        ExperimentCommand::Resume(args) => resume(cli, args),
        ExperimentCommand::Report(args) => report(args),
        ExperimentCommand::Merge(args) => merge(args),
        ExperimentCommand::Compare(args) => compare::compare(args),
    }
}

fn begin(cli: &Cli, args: &ExperimentRunArgs) -> Result<Status> {
    let signals = signals::take(Second::Ends)?;
    let (experiment, prepared) = read(&args.file, &signals)?;
    let host = Host::open(&cli.kvm)?;
    prepared.check(&host, &signals)?;
    let file = absolute(&args.file)?;
    let description = prepared.description(&experiment, &file, args.shard);
    let out = args.out.clone().unwrap_or_else(|| default_folder(&args.file, &description));
    let store = Store::create(&out, &description)?;
    work(&Campaign::new(host, prepared, signals), store, &args.work)
}

fn resume(cli: &Cli, args: &ExperimentResumeArgs) -> Result<Status> {
    let signals = signals::take(Second::Ends)?;
    let before = Store::read(&args.folder)?.description()?;
    let file = Path::new(&before.file);
    let (experiment, prepared) = read(file, &signals).context("the campaign's experiment file")?;
    let now = prepared.description(&experiment, &before.file, before.shard);
    if let Some(difference) = before.difference(&now) {
        bail!(
            "{}: can't be resumed: {difference}: put the file back, or begin another campaign",
            args.folder.display()
        );
    }
    let host = Host::open(&cli.kvm)?;
    prepared.check(&host, &signals)?;
    let store = Store::open(&args.folder)?;
    work(&Campaign::new(host, prepared, signals), store, &args.work)
}

fn report(args: &ExperimentReportArgs) -> Result<Status> {
    let store = Store::read(&args.folder)?;
    let html = args.html.as_deref();
    if let Some(file) = html.filter(|file| is_of(file, &args.folder)) {
        bail!("--html {}: this is a file of the campaign: name another", file.display());
    }
    let html = html.map(|file| OutputFile::check("--html", file)).transpose()?;
    let (report, runs) = Report::with_runs(&store)?;
    let written = html.map(|file| file.text(&page::page(&report, &runs)));
    print(&report, args.json)?;
    let problems = written.and_then(Result::err).into_iter().chain(idle(&report));
    conclude(status(&report), problems.collect())
}

/// Whether a file is one of the campaign in a folder, which must not be replaced.
fn is_of(file: &Path, folder: &Path) -> bool {
    let (Ok(file), Ok(folder)) = (file.canonicalize(), folder.canonicalize()) else { return false };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.parent() == Some(&folder) && (name.starts_with(campaign::FILE_NAME) || name == "lock")
}

/// The status of a report. A failure is told on standard error, too.
fn status(report: &Report) -> Status {
    if report.failed == 0 {
        return Status::Clean;
    }
    tell::user(&format!("jitterbug: {} of {} runs failed", report.failed, report.runs));
    Status::Failure
}

/// The errors that a campaign ends with, as for `run`, if cells have jitter that injected nothing,
/// or a fault that never struck.
fn idle(report: &Report) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    for cell in &report.cells {
        let (name, runs) = (show::escaped(&cell.name), cell.rate.runs);
        if cell.idle_jitter {
            errors.push(anyhow!(
                "{name}: jitter injected nothing in {runs} run(s): choose other jitter or remove it"
            ));
        }
        for fault in cell.faults.iter().filter(|fault| fault.struck == 0) {
            errors.push(anyhow!("{name}: {}", show::escaped(&show::struck(fault, runs))));
        }
    }
    errors
}

fn merge(args: &ExperimentMergeArgs) -> Result<Status> {
    let store = campaign::merge(&args.folders, &args.out)?;
    let report = Report::of(&store)?;
    print(&report, args.json)?;
    conclude(status(&report), idle(&report))
}

/// Reads an experiment file, and makes the configurations of its machines.
fn read(path: &Path, signals: &Signals) -> Result<(Experiment, Prepared)> {
    let name = path.display().to_string();
    let text = input::text(path, signals).with_context(|| format!("{name}: can't be read"))?;
    let experiment = Experiment::read(&name, &text).map_err(|refused| {
        anyhow!("the experiment is not run\n{}", refused.render(style()).trim_end())
    })?;
    let prepared = Prepared::new(&experiment, Path::new(&absolute(path)?), signals)?;
    Ok((experiment, prepared))
}

fn absolute(path: &Path) -> Result<String> {
    let absolute = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let Some(text) = absolute.to_str() else {
        bail!("{}: the path is not valid UTF-8: use another folder", absolute.display());
    };
    Ok(text.into())
}

/// The folder of a campaign if the user names none.
fn default_folder(file: &Path, description: &Description) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().display();
    let shard = description.shard;
    let part = if shard.is_part() {
        format!("-{}", shard.to_string().replace('/', "-of-"))
    } else {
        String::new()
    };
    PathBuf::from(format!("{stem}{part}.campaign"))
}

/// What the workers of a campaign share.
struct Campaign {
    host: Host,
    prepared: Prepared,
    signals: Signals,
    /// Which build of jitterbug this is.
    build: String,
}

impl Campaign {
    /// Reads the program's file, so it must be made before files are out of reach.
    fn new(host: Host, prepared: Prepared, signals: Signals) -> Self {
        Self { host, prepared, signals, build: build::name() }
    }
}

/// Makes the runs that are not recorded yet, and reports.
fn work(campaign: &Campaign, mut store: Store, args: &WorkArgs) -> Result<Status> {
    let files = campaign.prepared.machines().fold(Files::none(), Files::machine);
    confine::files(&args.confine, &files.make_in(store.folder()), &campaign.signals)?;
    confine::calls(&args.confine)?;
    let progress = Progress::of(None);
    let mut told = Told::default();
    let build = &*campaign.build;
    tell_of_other_builds(&store, build)?;
    let worked = campaign::work(
        &mut store,
        Work { jobs: args.jobs, build },
        || {
            let mut worker = Worker::new(campaign)?;
            Ok::<_, anyhow::Error>(move |task| worker.run(task))
        },
        |runs, tally| {
            told.tell(runs, campaign, &progress);
            progress.message(live_line(tally, progress.seconds()));
        },
    );
    progress.finish();
    if let Some(file) = campaign.prepared.changed() {
        tell::user(&format!(
            "jitterbug: {}: it was changed while the campaign ran: the recorded runs are of the file \
             as it was before, the report's commands would take it as it is now, and `resume` will \
             refuse it unless it is put back",
            show::escaped(&file.display().to_string())
        ));
    }
    let ended = match &worked {
        Ok((_, ended)) => *ended,
        Err(_) => Ended::Error,
    };
    let mut problems = Vec::new();
    match worked {
        Ok(_) => {}
        Err(Failed::Store(error)) => problems.push(error.into()),
        Err(Failed::Run(error)) => problems.push(error),
    }
    let report = match Report::of(&store) {
        Ok(report) => report,
        Err(error) => {
            // After the error that ended the campaign, which may be its reason.
            problems.push(error.into());
            return conclude(Status::Clean, problems);
        }
    };
    problems.extend(print(&report, args.json).err());
    problems.extend(idle(&report));
    if report.is_incomplete() {
        let folder = store.folder().display().to_string();
        let folder = experiments::commands::quoted_path(&folder);
        // Where a budget is used up, there is no more to do.
        let again = match ended {
            Ended::OutOfRuns | Ended::OutOfTime => String::new(),
            _ => format!(": to go on: jitterbug experiment resume {folder}"),
        };
        let how = show::why(ended);
        let Report { runs, asked, .. } = report;
        tell::user(&format!("jitterbug: {how}: {runs} of {asked} runs{again}"));
    }
    let interrupted = campaign.signals.end().filter(|_| ended == Ended::Interrupted);
    let status = match interrupted {
        _ if report.failed > 0 => status(&report),
        Some(signal) => Status::interrupted(signal),
        // Without a single run, an error is what there is to tell.
        None if report.runs == 0 && problems.is_empty() => Status::Nothing,
        None => Status::Clean,
    };
    conclude(status, problems)
}

/// Tells if another build of this program has made runs of a campaign.
fn tell_of_other_builds(store: &Store, build: &str) -> Result<()> {
    let others: Vec<String> = builds(&store.sessions()?)
        .into_iter()
        .filter(|(other, _)| other != build)
        .map(|(other, runs)| format!("{other} made {runs} of its runs"))
        .collect();
    if !others.is_empty() {
        tell::user(&format!(
            "jitterbug: this is another build of jitterbug ({build}): {}; where builds run machines \
             differently, the rates are of a mixture",
            others.join(", ")
        ));
    }
    Ok(())
}

/// The live line: how far the campaign is, and how long it will take at most.
fn live_line(tally: &Tally, seconds: f64) -> String {
    let Tally { runs, failed, now, left } = tally;
    let rate = *now as f64 / seconds.max(1e-3);
    let rest = std::time::Duration::from_secs((*left as f64 / rate.max(1e-3)) as u64);
    let rest = humantime::format_duration(rest);
    format!(
        "{runs} of {} runs, {failed} failed, {rate:.1} runs/s, at most {rest} left",
        runs + left
    )
}

/// The number of kinds of failures that are told while a campaign runs, of all cells.
const MAX_TOLD: usize = 1000;

/// What was told about failures.
#[derive(Default)]
struct Told(std::collections::BTreeSet<(usize, String)>);

impl Told {
    /// Reports the first failure of each kind in each cell.
    fn tell(&mut self, runs: &[RunRecord], campaign: &Campaign, progress: &Progress) {
        for run in runs {
            let Some(kind) = &run.kind else { continue };
            // A guest decides how many kinds there are. All are in the campaign's records.
            let is_full = self.0.len() >= MAX_TOLD;
            if !is_full && self.0.insert((run.cell, kind.clone())) {
                let cell = show::escaped(campaign.prepared.name(run.cell));
                progress.print(&format!(
                    "jitterbug: {cell}: seed {}: {}",
                    run.seed,
                    show::escaped(kind)
                ));
            }
        }
    }
}

fn print(report: &Report, json: bool) -> Result<()> {
    if json {
        print_json(report)
    } else {
        tell::output(&show::text(report)).context("the report can't be written")
    }
}
