//! Waits for one client.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use vmm::signals::Signals;

use super::address::Address;
use super::connection::{Connection, POLL_TIMEOUT, Stream, is_ready};

/// A socket that waits for a client. When one has come, there is no socket
/// any more that a second one could connect to.
pub(super) struct Listener {
    socket: Socket,
    name: String,
}

enum Socket {
    Port(TcpListener),
    /// The file is kept for its end.
    Path(UnixListener, #[allow(dead_code)] SocketFile),
}

/// The file of a Unix socket, which is removed in the end.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have been removed by others.
        let _ = fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(super) fn bind(address: &Address) -> Result<Self> {
        let refused = |error: &io::Error| match (error.kind(), address) {
            (ErrorKind::AddrInUse, Address::Port(_)) => {
                "another program uses this port: give another"
            }
            (ErrorKind::AddrInUse, Address::Socket(_)) => {
                "there is such a file: remove it, or give another path"
            }
            _ => "can't wait for gdb there",
        };
        let (socket, name) = match Self::open(address) {
            Ok(opened) => opened,
            Err(error) => {
                let problem = refused(&error);
                return Err(error).context(format!("--gdb {address}: {problem}"));
            }
        };
        Ok(Self { socket, name })
    }

    fn open(address: &Address) -> io::Result<(Socket, String)> {
        match address {
            Address::Port(port) => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port))?;
                listener.set_nonblocking(true)?;
                let name = listener.local_addr()?.to_string();
                Ok((Socket::Port(listener), name))
            }
            Address::Socket(path) => {
                let listener = UnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                listener.set_nonblocking(true)?;
                Ok((Socket::Path(listener, file), in_gdb(path)))
            }
        }
    }

    /// What to tell gdb to connect to.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a client. `None` if a signal asks for the end of the program before.
    pub(super) fn accept(self, signals: &Signals) -> Result<Option<Connection>> {
        while signals.end().is_none() {
            if !is_ready(self.fd(), POLL_TIMEOUT).context("--gdb")? {
                continue;
            }
            let stream = match &self.socket {
                Socket::Port(listener) => listener.accept().map(|(it, _)| Stream::Tcp(it)),
                Socket::Path(listener, _) => listener.accept().map(|(it, _)| Stream::Unix(it)),
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
            Socket::Path(listener, _) => listener.as_fd(),
        }
    }
}

/// A path as gdb takes it: gdb recognises a path by a slash or by the file.
fn in_gdb(path: &Path) -> String {
    path.display().to_string()
}

fn is_passing(error: &io::Error) -> bool {
    let kinds = [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
    kinds.contains(&error.kind())
}
