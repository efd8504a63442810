//! Signals by which a user ends a run, Ctrl-C and `kill`, and lets a suspended one go on: SIGCONT.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, Result};

/// What a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT or SIGTERM: the end.
    End,
    /// SIGCONT: a suspended run goes on.
    Continue,
}

/// SIGINT, SIGTERM and SIGCONT as a file descriptor.
#[derive(Debug)]
pub struct Interrupts {
    fd: SignalFd,
}

impl Interrupts {
    /// Takes the signals over from their default action. Call it before any thread is started: a
    /// thread keeps the signal mask that it was started with.
    pub fn take() -> Result<Self> {
        let refuse = |errno: nix::Error| Error::System {
            what: "SIGINT, SIGTERM and SIGCONT can't be taken over",
            source: io::Error::from(errno),
        };
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        // Blocked, it still continues a stopped process; it only comes to us as well.
        signals.add(Signal::SIGCONT);
        signals.thread_block().map_err(refuse)?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { fd: SignalFd::with_flags(&signals, flags).map_err(refuse)? })
    }

    /// The next signal that has come; it is taken.
    pub fn take_next(&self) -> Option<Interrupt> {
        let signal = self.fd.read_signal().ok()??;
        let is_continue = signal.ssi_signo == Signal::SIGCONT as u32;
        Some(if is_continue { Interrupt::Continue } else { Interrupt::End })
    }

    /// Whether the user wants an end. What has come is taken.
    pub fn arrived(&self) -> bool {
        std::iter::from_fn(|| self.take_next()).any(|interrupt| interrupt == Interrupt::End)
    }
}

impl AsRawFd for Interrupts {
    fn as_raw_fd(&self) -> RawFd {
        use std::os::fd::AsFd;
        self.fd.as_fd().as_raw_fd()
    }
}
