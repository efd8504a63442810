//! Confines the program once a command is set up: it may open only the files that the command
//! names, and make only the system calls that it needs (docs/security.md).
//!
//! A command first reads what it is to run (guest, symbols, scripts, findings). Then it calls
//! [`files`] (landlock(7)), before it starts threads that serve clients, and [`calls`]
//! (seccomp(2)), when the sockets for these are there. What the kernel can't do is left out, and
//! logged.

mod named;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};
use nix::sys::prctl;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::kvm::seccomp;
use vmm::signals::Signals;

use crate::args::ConfineArgs;
use crate::writer;
pub(crate) use named::Files;

/// The version of landlock whose rights are asked for; the kernel's own version may have less.
const LANDLOCK: ABI = ABI::V5;
/// The version in which connections were added.
const LANDLOCK_NET: ABI = ABI::V4;

/// What the kernel can do to confine a program.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct Kernel {
    /// Whether it can filter system calls (seccomp).
    pub(crate) seccomp: bool,
    /// Whether it can limit the files that are opened (landlock).
    pub(crate) landlock: bool,
}

impl Kernel {
    /// Asks the kernel.
    pub(crate) fn of_this_host() -> Self {
        // Where the kernel has no landlock, nothing is behind a ruleset.
        let landlock = ruleset().is_ok_and(|ruleset| Option::<OwnedFd>::from(ruleset).is_some());
        Self { seccomp: seccomp::is_possible(), landlock }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |has: bool| if has { "yes" } else { "no" };
        write!(
            f,
            "filters of system calls (seccomp): {}; limits on files (landlock): {}",
            has(self.seccomp),
            has(self.landlock)
        )
    }
}

/// Limits the files that the program opens from now on, in all its threads. Called while there are
/// no threads but those of signals and output.
pub(crate) fn files(args: &ConfineArgs, files: &Files, signals: &Signals) -> Result<()> {
    // No program that this one could start gets rights by its file's mode.
    prctl::set_no_new_privs().context("the right to get more rights can't be given up")?;
    if args.no_landlock {
        return Ok(());
    }
    let status = restrict_all(files, signals)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => tracing::info!("this kernel has no landlock"),
        RulesetStatus::PartiallyEnforced => tracing::info!("this kernel has an older landlock"),
        RulesetStatus::FullyEnforced => {}
    }
    if status.ruleset != RulesetStatus::NotEnforced {
        vmm::dump::explain_refusals(
            "a dump can be in the current folder or in that for temporary files; --no-landlock \
             allows all (docs/security.md)",
        );
    }
    Ok(())
}

/// Limits the system calls of all threads from now on. Called when all sockets are there at which
/// clients connect.
pub(crate) fn calls(args: &ConfineArgs) -> Result<()> {
    if !args.no_seccomp && !seccomp::confine()? {
        tracing::info!("this kernel has no filters of system calls");
    }
    Ok(())
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK_NET))?
        .create()
}

/// Restricts this thread, whose children will be, and the two that are already there.
fn restrict_all(files: &Files, signals: &Signals) -> vmm::Result<RestrictionStatus> {
    let mut ruleset = ruleset().map_err(refused)?;
    for (path, rights) in files.rights() {
        ruleset = ruleset.add_rules(path_beneath_rules([path], rights)).map_err(refused)?;
    }
    if let Some(port) = files.port() {
        let rule = NetPort::new(port, AccessNet::BindTcp);
        ruleset = ruleset.add_rule(rule).map_err(refused)?;
    }
    let copy = || ruleset.try_clone().map_err(unlimited);
    let (of_signals, of_writer) = (copy()?, copy()?);
    signals.on_thread(move || of_signals.restrict_self())?.map_err(refused)?;
    if let Some(writer) = writer::on_thread(move || of_writer.restrict_self()) {
        writer.map_err(refused)?;
    }
    ruleset.restrict_self().map_err(refused)
}

/// The error of the kernel behind one of landlock's.
#[allow(clippy::needless_pass_by_value)] // for map_err
fn refused(error: RulesetError) -> vmm::Error {
    let mut source: &dyn std::error::Error = &error;
    while let Some(next) = source.source() {
        source = next;
    }
    let errno = source.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    unlimited(
        errno.map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error),
    )
}

fn unlimited(source: io::Error) -> vmm::Error {
    let what = "the files that the program opens can't be limited: give --no-landlock";
    vmm::Error::System { what, source }
}

/// The folder of a file, as a path that can be opened.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[path = "confine_tests.rs"]
mod tests;
