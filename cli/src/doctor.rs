//! `jitterbug doctor`: what this host's KVM can do.

use anyhow::Result;
use vmm::Host;

use crate::args::{Cli, ListArgs};
use crate::report::print_json;
use crate::status::Status;
use crate::tell;

/// Examines the host and prints what was found.
pub(crate) fn run(cli: &Cli, args: &ListArgs) -> Result<Status> {
    let report = vmm::doctor::examine(&Host::open(&cli.kvm)?);
    if args.json {
        print_json(&report)?;
    } else {
        tell::output(&report.to_string())?;
    }
    Ok(Status::Clean)
}
