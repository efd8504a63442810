//! `jitterbug doctor`: reports what this host's KVM can do.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::Host;
use vmm::doctor::Report;

use crate::args::{Cli, DoctorArgs};
use crate::confine::Kernel;
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
    /// What the kernel can do to confine jitterbug itself; absent in documents of older versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default)]
    confinement: Option<Kernel>,
}

/// Examines the host and prints what was found.
pub(crate) fn run(cli: &Cli, args: &DoctorArgs) -> Result<Status> {
    let kernel = Kernel::of_this_host();
    let report = vmm::doctor::examine(&Host::open(&cli.kvm)?, args.timeout);
    if args.list.json {
        print_json(&Document { format: FORMAT, report: &report, confinement: Some(kernel) })?;
    } else {
        tell::output(&format!("{report}\nWhat confines jitterbug here: {kernel}\n"))?;
    }
    Ok(Status::Clean)
}
