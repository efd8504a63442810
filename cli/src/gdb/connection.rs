//! The connection with gdb.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a wait takes before the next check for signals, in milliseconds.
pub(super) const POLL_TIMEOUT: u8 = 20;
/// How long a client may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// A connected socket.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The connection with gdb.
pub(super) struct Connection {
    stream: Stream,
    /// The bytes that were received and not yet looked at.
    received: VecDeque<u8>,
    /// The bytes that are to be sent.
    unsent: Vec<u8>,
}

/// What has come from gdb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Byte(u8),
    /// Nothing yet.
    Nothing,
    /// The client has closed the connection, or it is broken.
    Closed,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        match &stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
            }
            Stream::Unix(stream) => {
                stream.set_nonblocking(false)?;
                stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
            }
        }
        Ok(Self { stream, received: VecDeque::new(), unsent: Vec::new() })
    }

    /// Whether gdb has sent something, or closed the connection.
    pub(super) fn has_input(&self) -> bool {
        // An error is found by the read.
        !self.received.is_empty() || is_ready(self.fd(), 0).unwrap_or(true)
    }

    /// Waits for a moment until gdb sends something or the other file is readable.
    pub(super) fn wait_beside(&self, other: BorrowedFd) {
        let mut fds = [self.fd(), other].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // An error is found by the read.
        let _ = poll(&mut fds, PollTimeout::from(POLL_TIMEOUT));
    }

    /// Waits for a moment for the next byte.
    pub(super) fn receive(&mut self) -> Received {
        if self.received.is_empty() {
            if !is_ready(self.fd(), POLL_TIMEOUT).unwrap_or(true) {
                return Received::Nothing;
            }
            let mut bytes = [0; 4096];
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut bytes),
                Stream::Unix(stream) => stream.read(&mut bytes),
            };
            match read {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Received::Nothing,
                Ok(0) | Err(_) => return Received::Closed,
            }
            self.received.extend(&bytes[..read.unwrap_or(0)]);
        }
        self.received.pop_front().map_or(Received::Nothing, Received::Byte)
    }

    /// Tells the client that a packet did not come whole, so that it sends it again.
    pub(super) fn refuse_packet(&mut self) -> io::Result<()> {
        use gdbstub::conn::Connection as _;
        self.write(b'-')?;
        self.flush()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl gdbstub::conn::Connection for Connection {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.unsent.push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.unsent);
        match &mut self.stream {
            Stream::Tcp(stream) => Write::write_all(stream, &bytes),
            Stream::Unix(stream) => Write::write_all(stream, &bytes),
        }
    }
}

/// Whether a socket can be read within this time, in milliseconds.
pub(super) fn is_ready(fd: BorrowedFd, timeout: u8) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
