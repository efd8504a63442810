//! `jitterbug explain`: what went wrong in a finding.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use experiments::Finding;
use experiments::cause::report::Command;
use experiments::cause::{CauseError, Limits, Question, Report, explain};
use experiments::finding::image_hash;
use probes::Symbols;
use vmm::Host;
use vmm::interrupts::{EndSignal, Interrupts, Second};

use crate::args::{Cli, ExplainArgs, Pages};
use crate::file::OutputFile;
use crate::guest::Guest;
use crate::report::print_json;
use crate::status::Status;
use crate::tell;
use crate::writer;

/// Explains a finding, and writes down its shortest schedule.
pub(crate) fn run(cli: &Cli, args: &ExplainArgs) -> Result<Status> {
    args.pages.get().check(true)?;
    let interrupts = Interrupts::take(Second::Ends, writer::hurry)?;
    let finding = Finding::read(&args.finding)?;
    let guest = Guest::of_finding(&finding, &args.finding, args.guest.as_deref())?;
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
    let symbols = guest.symbols(args.symbols.as_deref())?;
    let symbols = symbols.as_deref();
    let explained =
        of_finding(&host, &guest, symbols, &finding, &args.finding, args.pages.get(), &interrupts);
    let report = match explained {
        Ok(report) => report,
        Err(error) if matches!(error.downcast_ref(), Some(CauseError::Stopped)) => {
            tell::user(&format!("jitterbug: {error:#}"));
            let signal = interrupts.end().unwrap_or(EndSignal::Interrupt);
            return Ok(Status::interrupted(signal));
        }
        Err(error) => return Err(error),
    };
    if args.json {
        print_json(&report)?;
    } else {
        show(&report)?;
    }
    if !report.shown {
        tell::user(&format!("jitterbug: {}: no cause could be shown", args.finding.display()));
    }
    Ok(if report.shown { Status::Clean } else { Status::Failure })
}

/// That there is no explanation is told, and is no reason to forget what was found.
pub(crate) fn or_told(explained: Result<Report>) -> Result<Option<Report>> {
    match explained {
        Ok(report) => Ok(Some(report)),
        Err(error) if error.is::<CauseError>() => {
            tell::user(&format!("jitterbug: no explanation: {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Explains a finding that lies in a file, and writes what is asked for.
pub(crate) fn of_finding(
    host: &Host,
    guest: &Guest,
    symbols: Option<&Symbols>,
    finding: &Finding,
    file: &Path,
    pages: Pages,
    interrupts: &Interrupts,
) -> Result<Report> {
    let shortest = shortest_file(file);
    OutputFile::check("the shortest schedule's file", &shortest)?;
    let machine = finding.machine.config(guest.image.clone());
    let machine = machine.with_context(|| file.display().to_string())?;
    let (limits, seed) = (Limits::default(), finding.search.seed);
    let interrupted = AtomicBool::new(false);
    // A signal is taken once, but every thread has to hear of it.
    let stop =
        || interrupted.load(Relaxed) || interrupts.arrived() && !interrupted.swap(true, Relaxed);
    let question =
        Question { host, machine: &machine, finding, symbols, stop: &stop, limits, seed };
    let cause = explain(&question).map_err(|error| match error {
        // Whose fault it is shows in the error itself.
        CauseError::Machine(error) => anyhow::Error::new(error),
        other => anyhow::Error::new(other).context(file.display().to_string()),
    })?;
    let mut report = Report::new(&question, &cause);
    cause.finding.write(&shortest)?;
    report.add_commands(&shortest.display().to_string());
    let here = std::env::current_dir().context("the current folder")?;
    let folders: Vec<_> = pages.source.iter().cloned().chain([here]).collect();
    report.read_source(&folders);
    if let Some(path) = pages.html {
        let page = report.to_html().context("the page can't be made")?;
        OutputFile::new("--html", path).text(&page)?;
    }
    if let Some(path) = pages.trace {
        let write = |file| report.write_trace(BufWriter::new(file));
        OutputFile::new("--trace", path).write(write)?;
    }
    Ok(report)
}

/// Shows a report to a person.
pub(crate) fn show(report: &Report) -> Result<()> {
    tell::output(&report.to_string()).context("the report can't be written")?;
    for Command { what, command } in &report.commands {
        tell::user(&format!("{what}: {command}"));
    }
    Ok(())
}

/// Where the shortest schedule goes: beside the finding.
fn shortest_file(finding: &Path) -> PathBuf {
    let stem = finding.file_stem().unwrap_or_default().to_string_lossy();
    finding.with_file_name(format!("{stem}-shortest.finding"))
}
