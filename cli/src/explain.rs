//! `jitterbug explain`: what went wrong in a finding.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::Finding;
use experiments::cause::{Limits, Question, Report, explain};
use experiments::finding::image_hash;
use vmm::Host;

use crate::args::{Cli, ExplainArgs};
use crate::guest::Guest;
use crate::report::print_json;
use crate::status::Status;
use crate::tell;

/// Explains a finding, and writes down its shortest schedule.
pub(crate) fn run(cli: &Cli, args: &ExplainArgs) -> Result<Status> {
    let finding = Finding::read(&args.finding)?;
    let name = args.guest.as_deref().unwrap_or(&finding.machine.guest);
    let guest = Guest::find(name).context("the finding's guest (name another place by --guest)")?;
    let hash = image_hash(&guest.image.bytes);
    if hash != finding.machine.guest_hash {
        bail!(
            "{name}: not the image that the finding is about (hash {hash}, recorded {}): hunt again, or \
             give the old image by --guest",
            finding.machine.guest_hash
        );
    }
    let host = Host::open(&cli.kvm)?;
    let report = of_finding(&host, &guest, &finding, args, &args.finding)?;
    Ok(if report.shown { Status::Clean } else { Status::Failure })
}

/// Explains a finding that lies in a file.
fn of_finding(
    host: &Host,
    guest: &Guest,
    finding: &Finding,
    args: &ExplainArgs,
    file: &Path,
) -> Result<Report> {
    let machine = finding.machine.config(guest.image.clone())?;
    let symbols = guest.symbols(args.symbols.as_deref())?;
    let question = Question {
        host,
        machine: &machine,
        finding,
        symbols: symbols.as_deref(),
        limits: Limits::default(),
        seed: finding.search.seed,
    };
    let cause = explain(&question).with_context(|| file.display().to_string())?;
    let report = Report::new(&question, &cause);
    let shortest = shortest_file(file);
    cause.finding.write(&shortest)?;
    if args.json {
        print_json(&report)?;
    } else {
        tell::output(&report.to_string())?;
    }
    tell::user(&format!("again: jitterbug replay {}", shortest.display()));
    if let Some(schedule) = &report.passing_schedule {
        let machine = report.machine_arguments();
        tell::user(&format!("passes: jitterbug hunt {machine} --schedule '{schedule}'"));
    }
    Ok(report)
}

/// Where the shortest schedule goes: beside the finding.
fn shortest_file(finding: &Path) -> PathBuf {
    let stem = finding.file_stem().unwrap_or_default().to_string_lossy();
    finding.with_file_name(format!("{stem}-shortest.finding"))
}
