//! Signals by which a user ends a run: Ctrl-C and `kill`.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, Result};

/// SIGINT and SIGTERM as a file descriptor.
#[derive(Debug)]
pub struct Interrupts {
    fd: SignalFd,
}

impl Interrupts {
    /// Takes the signals over from their default action. Call it before any thread is started: a
    /// thread keeps the signal mask that it was started with.
    pub fn take() -> Result<Self> {
        let refuse = |errno: nix::Error| Error::System {
            what: "SIGINT and SIGTERM can't be taken over",
            source: io::Error::from(errno),
        };
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().map_err(refuse)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { fd: SignalFd::with_flags(&signals, flags).map_err(refuse)? })
    }

    /// Whether a signal has come; it is taken.
    pub fn arrived(&self) -> bool {
        matches!(self.fd.read_signal(), Ok(Some(_)))
    }
}

impl AsRawFd for Interrupts {
    fn as_raw_fd(&self) -> RawFd {
        use std::os::fd::AsFd;
        self.fd.as_fd().as_raw_fd()
    }
}
