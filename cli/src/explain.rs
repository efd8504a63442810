//! `jitterbug explain`: finds the cause of a finding.

use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::Finding;
use experiments::cause::report::Command;
use experiments::cause::{CauseError, Limits, Question, Report, explain};
use experiments::finding::image_hash;
use inspect::Symbols;
use vmm::Host;
use vmm::signals::{EndSignal, Second, Signals};

use crate::args::{Cli, ExplainArgs, PageFiles};
use crate::confine;
use crate::document::print_json;
use crate::file::OutputFile;
use crate::guest::Guest;
use crate::input;
use crate::signals;
use crate::status::{Status, conclude};
use crate::tell;

/// Explains a finding, and writes its shortest schedule to a file.
pub(crate) fn run(cli: &Cli, args: &ExplainArgs) -> Result<Status> {
    let pages = args.pages.get().check(true)?;
    let signals = signals::take(Second::Ends)?;
    let finding = input::finding(&args.finding, &signals)?;
    let other = args.guest.as_deref();
    let guest = Guest::of_finding(&finding, &args.finding, other, &signals)?;
    let hash = image_hash(&guest.image.bytes);
    if hash != finding.machine.guest_hash {
        bail!(
            "{}: not the image that the finding is about (hash {hash}, recorded {}): hunt again, or \
             give the old image by --guest",
            guest.image.name,
            finding.machine.guest_hash
        );
    }
    let host = Host::open(&cli.kvm)?;
    let symbols = guest.symbols(args.symbols.as_deref(), &signals)?;
    let symbols = symbols.as_deref();
    let files = Files::of(&args.finding, args.out.as_deref());
    files.make_folder()?;
    let mut named = confine::Files::none().pages(args.pages.get());
    if let Some(shortest) = &files.shortest {
        named = named.output(shortest);
    }
    confine::files(&args.confine, &named, &signals)?;
    confine::calls(&args.confine)?;
    let explained = of_finding(&host, &guest, symbols, &finding, &files, &pages, &signals);
    let Explained { report, mut problems } = match explained {
        Ok(explained) => explained,
        Err(error) if matches!(error.downcast_ref(), Some(CauseError::Cancelled)) => {
            tell::user(&format!("jitterbug: {error:#}"));
            let signal = signals.end().unwrap_or(EndSignal::Interrupt);
            return Ok(Status::interrupted(signal));
        }
        Err(error) => return Err(error),
    };
    let printed = if args.json { print_json(&report) } else { show(&report) };
    problems.extend(printed.err());
    if !report.shown {
        tell::user(&format!("jitterbug: {}: no cause could be shown", args.finding.display()));
    }
    conclude(if report.shown { Status::Clean } else { Status::Failure }, problems)
}

/// A report, and the errors of files that could not be written.
pub(crate) struct Explained {
    report: Report,
    problems: Vec<anyhow::Error>,
}

/// A finding's file, and the file for its shortest schedule.
#[derive(Default)]
pub(crate) struct Files<'a> {
    /// `None` if the finding could not be written.
    finding: Option<&'a Path>,
    /// `None` if it has no place either.
    shortest: Option<PathBuf>,
    /// Whether the user has chosen the folder.
    chosen: bool,
}

impl<'a> Files<'a> {
    /// `out` is the folder for the shortest schedule. Without it, the file is written beside the
    /// finding.
    pub(crate) fn of(finding: &'a Path, out: Option<&Path>) -> Self {
        let stem = finding.file_stem().unwrap_or_default().to_string_lossy();
        // The shortest schedule of a shortest schedule replaces it.
        let stem = stem.strip_suffix("-shortest").unwrap_or(&stem);
        let name = format!("{stem}-shortest.finding");
        let shortest = match out {
            Some(folder) => folder.join(name),
            None => finding.with_file_name(name),
        };
        Self { finding: Some(finding), shortest: Some(shortest), chosen: out.is_some() }
    }

    /// For a finding that could not be written: its shortest schedule is in the report alone.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The finding's name, for messages.
    fn name(&self) -> String {
        self.finding.map_or_else(|| "the finding".into(), |path| path.display().to_string())
    }

    /// Makes the folder for the shortest schedule, if the user has chosen one.
    fn make_folder(&self) -> Result<()> {
        let folder = self.shortest.as_deref().and_then(Path::parent).filter(|_| self.chosen);
        folder.map_or(Ok(()), |folder| {
            fs::create_dir_all(folder)
                .with_context(|| format!("--out {}: can't be made", folder.display()))
        })
    }

    /// The file for the shortest schedule, if it can be written. If it can't, that is an error only
    /// if the user has chosen the folder.
    fn check(&self) -> Result<Option<&Path>> {
        let Some(shortest) = self.shortest.as_deref() else { return Ok(None) };
        self.make_folder()?;
        match OutputFile::check("the shortest schedule's file", shortest) {
            Ok(_) => Ok(Some(shortest)),
            Err(error) if !self.chosen => {
                tell::user(&format!(
                    "jitterbug: {error:#}: the schedule will be in the report alone (--out names \
                     another folder)"
                ));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// If there is no explanation, prints the reason and returns `None`: the command still reports its
/// findings.
pub(crate) fn or_told(explained: Result<Explained>) -> Option<Report> {
    match explained {
        Ok(Explained { report, problems }) => {
            for problem in problems {
                tell::user(&format!("jitterbug: {problem:#}"));
            }
            Some(report)
        }
        Err(error) => {
            tell::user(&format!("jitterbug: no explanation: {error:#}"));
            None
        }
    }
}

/// Explains a finding, and writes the files that the user asked for. A file that
/// can't be written doesn't prevent the report.
pub(crate) fn of_finding(
    host: &Host,
    guest: &Guest,
    symbols: Option<&Symbols>,
    finding: &Finding,
    files: &Files,
    pages: &PageFiles,
    signals: &Signals,
) -> Result<Explained> {
    let shortest = files.check()?;
    let machine = finding.machine.config(guest.image.clone());
    let machine = machine.with_context(|| files.name())?;
    let (limits, seed) = (Limits::default(), finding.search.seed);
    // A signal that has already ended the search cancels the explanation, too, so that the program
    // ends.
    let cancel = &signals.cancel();
    let question = Question { host, machine: &machine, finding, symbols, cancel, limits, seed };
    let cause = explain(&question).map_err(|error| match error {
        // The error itself says what is at fault.
        CauseError::Machine(error) => anyhow::Error::new(error),
        other => anyhow::Error::new(other).context(files.name()),
    })?;
    let mut report = Report::new(&question, &cause);
    let mut problems = Vec::new();
    let write = |path| {
        let is_there = files.finding == Some(path) && cause.finding.schedule == finding.schedule;
        if is_there { Ok(path) } else { cause.finding.write(path).map(|()| path) }
    };
    let written = shortest.map(write).transpose();
    let file = match written {
        Ok(written) => written.map(|path| path.display().to_string()),
        Err(error) => {
            problems.push(anyhow::Error::new(error));
            None
        }
    };
    report.add_commands(file.as_deref());
    let here = std::env::current_dir().ok();
    let folders: Vec<_> = pages.source.iter().cloned().chain(here).collect();
    report.read_source(&folders);
    problems.extend(write_pages(&report, pages).into_iter().filter_map(Result::err));
    Ok(Explained { report, problems })
}

/// Writes the files that the user asked for.
fn write_pages(report: &Report, pages: &PageFiles) -> Vec<Result<()>> {
    let html = pages.html.as_ref().map(|file| {
        let page = report.to_html().context("the page can't be made")?;
        file.text(&page)
    });
    let trace = pages
        .trace
        .as_ref()
        .map(|file| file.write(|file| report.write_trace(BufWriter::new(file))));
    html.into_iter().chain(trace).collect()
}

/// Prints a report for a person.
pub(crate) fn show(report: &Report) -> Result<()> {
    tell::output(&report.to_string()).context("the report can't be written")?;
    for Command { what, command } in &report.commands {
        tell::user(&format!("{what}: {command}"));
    }
    Ok(())
}
