//! The session with a client, from its first byte to its last.

use std::fmt::Display;
use std::io;

use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStubBuilder, GdbStubError, MultiThreadStopReason};
use gdbstub::target::Target;

use super::arch::X86;
use super::connection::{Connection, Received};
use super::packet::{MAX_PACKET, Packets, Taken};

/// Why gdb is told that something stopped.
pub(super) type Reason = MultiThreadStopReason<u64>;

/// What gdb debugs.
pub(super) trait Debuggee: Target<Arch = X86> {
    /// Goes on as gdb has asked. `None` if gdb has sent something meanwhile.
    fn go(&mut self, connection: &Connection) -> Result<Option<Reason>, Self::Error>;

    /// Stops because of Ctrl-C.
    fn interrupt(&mut self) -> Result<Reason, Self::Error>;
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// gdb has detached itself.
    Detached,
    /// gdb wants the end of what it debugs.
    Killed,
    /// The connection ended without either.
    Lost,
    /// gdb was told that what it debugs has ended.
    Told,
    /// The session was not to go on.
    Over,
}

/// Why a session failed.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// The client does not speak gdb's protocol: what is wrong.
    Protocol(String),
    /// What gdb debugs has failed.
    Target(E),
}

type Machine<'a, T> = GdbStubStateMachine<'a, T, Connection>;
type StubError<T> = GdbStubError<<T as Target>::Error, io::Error>;
type Fed<'a, T> = Result<Machine<'a, T>, StubError<T>>;

/// What an error of gdbstub means; a connection that broke is no error.
fn failure<E: Display>(error: GdbStubError<E, io::Error>) -> Result<Left, Failure<E>> {
    if error.is_connection_error() {
        return Ok(Left::Lost);
    }
    let text = error.to_string();
    match error.into_target_error() {
        Some(error) => Err(Failure::Target(error)),
        None => Err(Failure::Protocol(text)),
    }
}

/// Serves a client until the session ends, or until `is_over` while the client waits for nothing.
pub(super) fn serve<T: Debuggee>(
    connection: Connection,
    target: &mut T,
    is_over: &dyn Fn() -> bool,
) -> Result<Left, Failure<T::Error>>
where
    T::Error: Display,
{
    let builder = GdbStubBuilder::new(connection).packet_buffer_size(MAX_PACKET);
    let stub = builder.build().map_err(|error| Failure::Protocol(error.to_string()))?;
    let mut machine = match stub.run_state_machine(target) {
        Ok(machine) => machine,
        Err(error) => return failure(error),
    };
    let mut packets = Packets::default();
    loop {
        let next = match machine {
            Machine::Idle(mut stub) => {
                let received = stub.borrow_conn().receive();
                match received {
                    Received::Nothing if is_over() => return Ok(Left::Over),
                    Received::Closed => return Ok(Left::Lost),
                    received => feed(stub.into(), target, &mut packets, received)?,
                }
            }
            Machine::Running(mut stub) => match target.go(stub.borrow_conn()) {
                Ok(Some(reason)) => stub.report_stop(target, reason),
                Ok(None) => match stub.borrow_conn().receive() {
                    Received::Closed => return Ok(Left::Lost),
                    received => feed(stub.into(), target, &mut packets, received)?,
                },
                Err(error) => return Err(Failure::Target(error)),
            },
            Machine::CtrlCInterrupt(stub) => {
                let reason = target.interrupt().map_err(Failure::Target)?;
                stub.interrupt_handled(target, Some(reason))
            }
            Machine::Disconnected(stub) => {
                return Ok(match stub.get_reason() {
                    DisconnectReason::Kill => Left::Killed,
                    DisconnectReason::Disconnect => Left::Detached,
                    DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_) => {
                        Left::Told
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

/// Gives gdbstub what was received, as whole packets. Of a packet with a wrong checksum the client
/// is told, and gdbstub does not get it.
fn feed<'a, T: Debuggee>(
    mut machine: Machine<'a, T>,
    target: &mut T,
    packets: &mut Packets,
    received: Received,
) -> Result<Fed<'a, T>, Failure<T::Error>> {
    let Received::Byte(byte) = received else { return Ok(Ok(machine)) };
    let bytes = match packets.take(byte) {
        Ok(Taken::Part) => return Ok(Ok(machine)),
        Ok(Taken::Whole(bytes)) => bytes,
        Ok(Taken::Garbled) => {
            let refused = match &mut machine {
                Machine::Idle(stub) => stub.borrow_conn().refuse_packet(),
                Machine::Running(stub) => stub.borrow_conn().refuse_packet(),
                Machine::CtrlCInterrupt(_) | Machine::Disconnected(_) => Ok(()),
            };
            if let Err(error) = refused {
                tracing::info!("gdb: {error}");
            }
            return Ok(Ok(machine));
        }
        Err(problem) => return Err(Failure::Protocol(problem.into())),
    };
    for byte in bytes {
        let fed = match machine {
            Machine::Idle(stub) => stub.incoming_data(target, byte),
            Machine::Running(stub) => stub.incoming_data(target, byte),
            // What came is a single packet, and its last byte leads here.
            other => return Ok(Ok(other)),
        };
        match fed {
            Ok(next) => machine = next,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(machine))
}
