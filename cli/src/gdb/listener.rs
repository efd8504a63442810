//! Waits for clients.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, bail};

use super::address::Address;
use super::connection::{Connection, POLL_TIMEOUT, Stream, is_ready};
use crate::socket::Socket as UnixSocket;

/// A socket that waits for clients.
pub(crate) struct Listener {
    socket: Socket,
    name: String,
}

enum Socket {
    Port(TcpListener),
    Path(UnixSocket),
}

impl Listener {
    pub(crate) fn bind(address: &Address) -> Result<Self> {
        match address {
            Address::Port(port) => {
                let (listener, name) = listen(*port).map_err(|error| {
                    let problem = match error.kind() {
                        ErrorKind::AddrInUse => "another program uses this port: give another",
                        _ => "can't wait for gdb there",
                    };
                    anyhow::Error::new(error).context(format!("--gdb {address}: {problem}"))
                })?;
                Ok(Self { socket: Socket::Port(listener), name })
            }
            Address::Socket(path) => {
                let socket = UnixSocket::create("--gdb", path)?;
                socket.listener.set_nonblocking(true).context("--gdb")?;
                Ok(Self { socket: Socket::Path(socket), name: path.display().to_string() })
            }
        }
    }

    /// What to tell gdb to connect to.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a client. `None` if `is_over` before one comes.
    pub(super) fn accept(&self, is_over: &dyn Fn() -> bool) -> Result<Option<Connection>> {
        while !is_over() {
            if !is_ready(self.fd(), POLL_TIMEOUT).context("--gdb")? {
                continue;
            }
            let stream = match &self.socket {
                Socket::Port(listener) => listener.accept().map(|(it, _)| Stream::Tcp(it)),
                Socket::Path(socket) => socket.listener.accept().map(|(it, _)| Stream::Unix(it)),
            };
            match stream {
                Ok(stream) => return Connection::new(stream).map(Some).context("--gdb"),
                // The client has gone again.
                Err(error) if is_passing(&error) => {}
                Err(error) => bail!("--gdb: no connection can be accepted: {error}"),
            }
        }
        Ok(None)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Port(listener) => listener.as_fd(),
            Socket::Path(socket) => socket.listener.as_fd(),
        }
    }
}

/// Listens at a port of the loopback interface. Returns what gdb has to connect to, too.
fn listen(port: u16) -> io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let name = listener.local_addr()?.to_string();
    Ok((listener, name))
}

fn is_passing(error: &io::Error) -> bool {
    let kinds = [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
    kinds.contains(&error.kind())
}
