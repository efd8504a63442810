//! `jitterbug doctor`: reports what this host's KVM can do.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::Host;
use vmm::doctor::Report;

use crate::args::{Cli, DoctorArgs};
use crate::document::{FORMAT, print_json};
use crate::status::Status;
use crate::tell;

/// The document of `doctor --json`.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Doctor")]
pub(crate) struct Document<'a> {
    /// The version of the documents' format.
    format: u32,
    #[serde(flatten)]
    report: &'a Report,
}

/// Examines the host and prints what was found.
pub(crate) fn run(cli: &Cli, args: &DoctorArgs) -> Result<Status> {
    let report = vmm::doctor::examine(&Host::open(&cli.kvm)?, args.timeout);
    if args.list.json {
        print_json(&Document { format: FORMAT, report: &report })?;
    } else {
        tell::output(&report.to_string())?;
    }
    Ok(Status::Clean)
}
