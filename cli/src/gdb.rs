//! `--gdb`: lets gdb look at a replay and move it, forwards and backwards, or debug a machine that
//! runs (`live`).
//!
//! gdb's protocol is the crate gdbstub's; this module connects it with the replay: threads are
//! vCPUs, and where gdb asks the machine to run, the [`Timeline`] moves.

mod action;
mod address;
mod arch;
mod breakpoints;
mod connection;
mod listener;
pub(crate) mod live;
mod monitor;
mod packet;
mod resume;
mod session;
mod target;
mod threads;

use std::sync::Arc;

use anyhow::{Result, bail};
use experiments::Recorded;
use experiments::timeline::{Timeline, TimelineError};
use inspect::Symbols;
use vmm::signals::{EndSignal, Signals};
use vmm::{Host, MachineConfig};

pub(crate) use address::Address;
pub(crate) use listener::Listener;
use session::{Failure, Left};
use target::Debugged;

use crate::status::Status;
use crate::tell;

/// How the debugging of a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// gdb has detached itself.
    Detached,
    /// gdb has killed the replay.
    Killed,
    /// The connection ended without either.
    Lost,
    /// A signal asked for the end of the program.
    Signal(EndSignal),
    /// The run is not the recorded one.
    Diverged(String),
}

/// What is replayed for gdb.
pub(crate) struct Subject<'a> {
    pub(crate) host: &'a Host,
    pub(crate) recorded: &'a Recorded,
    pub(crate) machine: &'a MachineConfig,
    pub(crate) symbols: Option<Arc<Symbols>>,
}

/// Lets gdb look at a replay. `None` if gdb detached itself, so that the replay is made as usual;
/// else the program's exit status.
pub(crate) fn debug(
    subject: &Subject,
    listener: Listener,
    signals: &Signals,
) -> Result<Option<Status>> {
    let (text, status) = match serve(subject, listener, signals)? {
        Ended::Detached => return Ok(None),
        Ended::Killed => ("interrupted: gdb has killed the replay".into(), Status::Interrupted),
        Ended::Lost => {
            let text = "gdb has gone without `detach`: the replay was not made";
            (text.into(), Status::Nothing)
        }
        Ended::Signal(signal) => {
            ("interrupted: the replay was not made".into(), Status::interrupted(signal))
        }
        Ended::Diverged(text) => (text, Status::Failure),
    };
    tell::user(&format!("jitterbug: {text}"));
    Ok(Some(status))
}

/// Waits for gdb, and serves it until the session ends.
fn serve(subject: &Subject, listener: Listener, signals: &Signals) -> Result<Ended> {
    let Subject { host, recorded, machine, symbols } = subject;
    let timeline = Timeline::new(host, recorded, machine, &signals.cancel());
    let timeline = match timeline {
        Ok(timeline) => timeline,
        Err(error) => return failed(error, signals),
    };
    let mut target = Debugged::new(timeline, symbols.as_deref(), &machine.guest.bytes);
    tell::user(&format!("jitterbug: waiting for gdb: target remote {}", listener.name()));
    let is_over = || signals.end().is_some();
    let connection = listener.accept(&is_over)?;
    // When gdb has come, there is no socket any more that another one could connect to.
    drop(listener);
    let Some(connection) = connection else { return Ok(interrupted(signals)) };
    if let Err(error) = target.look() {
        return failed(error, signals);
    }
    match session::serve(connection, &mut target, &is_over) {
        Ok(Left::Detached) => Ok(Ended::Detached),
        Ok(Left::Killed) => Ok(Ended::Killed),
        Ok(Left::Lost | Left::Told) => Ok(Ended::Lost),
        Ok(Left::Over) => Ok(interrupted(signals)),
        Err(Failure::Protocol(problem)) => {
            bail!("--gdb: the client doesn't speak gdb's protocol as jitterbug knows it: {problem}")
        }
        Err(Failure::Target(error)) => failed(error, signals),
    }
}

fn interrupted(signals: &Signals) -> Ended {
    Ended::Signal(signals.end().unwrap_or(EndSignal::Interrupt))
}

/// What an error of the timeline means.
fn failed(error: TimelineError, signals: &Signals) -> Result<Ended> {
    match error {
        TimelineError::Machine(vmm::Error::Cancelled) => Ok(interrupted(signals)),
        TimelineError::Diverged(_) => Ok(Ended::Diverged(error.to_string())),
        TimelineError::Machine(error) => Err(error.into()),
        TimelineError::TooLong { .. } => Err(error.into()),
    }
}
