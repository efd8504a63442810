//! The session with a client, from its first byte to its last.

use anyhow::{Result, bail};
use experiments::timeline::TimelineError;
use gdbstub::stub::state_machine::GdbStubStateMachine as Machine;
use gdbstub::stub::{DisconnectReason, GdbStubBuilder, GdbStubError};
use vmm::signals::{EndSignal, Signals};

use super::connection::{Connection, Received};
use super::packet::{MAX_PACKET, Packets};
use super::resume::Reason;
use super::target::{Debugged, tid};
use super::{Ended, ended};
use gdbstub::common::Signal;

/// Serves a client until the session ends.
pub(super) fn run(
    connection: Connection,
    target: &mut Debugged,
    signals: &Signals,
) -> Result<Ended> {
    if let Err(error) = target.look() {
        return failed(error, signals);
    }
    match serve(connection, target, signals) {
        Ok(ended) => Ok(ended),
        Err(Failure::Protocol(problem)) => {
            bail!("--gdb: the client doesn't speak gdb's protocol as jitterbug knows it: {problem}")
        }
        Err(Failure::Timeline(error)) => failed(error, signals),
    }
}

/// What a failed move means.
pub(super) fn failed(error: TimelineError, signals: &Signals) -> Result<Ended> {
    match error {
        TimelineError::Machine(vmm::Error::Cancelled) => Ok(interrupted(signals)),
        error => ended(error),
    }
}

fn interrupted(signals: &Signals) -> Ended {
    Ended::Signal(signals.end().unwrap_or(EndSignal::Interrupt))
}

enum Failure {
    Protocol(String),
    Timeline(TimelineError),
}

type StubError = GdbStubError<TimelineError, std::io::Error>;

/// What an error of gdbstub means; a connection that broke is no error.
fn failure(error: StubError) -> std::result::Result<Ended, Failure> {
    if error.is_connection_error() {
        return Ok(Ended::Lost);
    }
    let text = error.to_string();
    match error.into_target_error() {
        Some(error) => Err(Failure::Timeline(error)),
        None => Err(Failure::Protocol(text)),
    }
}

fn serve(
    connection: Connection,
    target: &mut Debugged,
    signals: &Signals,
) -> std::result::Result<Ended, Failure> {
    let builder = GdbStubBuilder::new(connection).packet_buffer_size(MAX_PACKET);
    let stub = builder.build().map_err(|error| Failure::Protocol(error.to_string()))?;
    let mut machine = match stub.run_state_machine(target) {
        Ok(machine) => machine,
        Err(error) => return failure(error),
    };
    let mut packets = Packets::default();
    loop {
        let next = match machine {
            Machine::Idle(mut stub) => match stub.borrow_conn().receive() {
                Received::Byte(byte) => {
                    packets.take(byte).map_err(|problem| Failure::Protocol(problem.into()))?;
                    stub.incoming_data(target, byte)
                }
                Received::Nothing if signals.end().is_some() => return Ok(interrupted(signals)),
                Received::Nothing => Ok(stub.into()),
                Received::Closed => return Ok(Ended::Lost),
            },
            Machine::Running(mut stub) => {
                let connection = stub.borrow_conn();
                match target.go(&mut || connection.has_input()) {
                    Ok(Some(reason)) => stub.report_stop(target, reason),
                    Ok(None) => match stub.borrow_conn().receive() {
                        Received::Byte(byte) => stub.incoming_data(target, byte),
                        Received::Nothing => Ok(stub.into()),
                        Received::Closed => return Ok(Ended::Lost),
                    },
                    Err(error) => return Err(Failure::Timeline(error)),
                }
            }
            Machine::CtrlCInterrupt(stub) => {
                let tid = tid(target.timeline.vcpu());
                let reason = Reason::SignalWithThread { tid, signal: Signal::SIGINT };
                stub.interrupt_handled(target, Some(reason))
            }
            Machine::Disconnected(stub) => {
                return Ok(match stub.get_reason() {
                    DisconnectReason::Kill => Ended::Killed,
                    DisconnectReason::Disconnect => Ended::Detached,
                    DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_) => {
                        Ended::Lost
                    }
                });
            }
        };
        machine = match next {
            Ok(machine) => machine,
            Err(error) => return failure(error),
        };
    }
}
