//! Signals by which a user ends a run, Ctrl-C and `kill`, and lets a suspended one go on: SIGCONT.
//!
//! A thread of their own waits for them, so that they are heard whatever the others wait for. The
//! first that wants an end is passed on, and the run ends in order; the second ends the program.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, raise};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use crate::cancel::Cancel;
use crate::error::{Error, Result};

/// What a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT or SIGTERM: the end.
    End,
    /// SIGCONT: a suspended run goes on.
    Continue,
}

/// A signal that wants an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// What a second signal that wants an end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// It ends the program at once.
    Ends,
    /// It is passed on like the first: there is something that must not be left behind.
    IsPassedOn,
}

/// A second signal so soon after the first is the same: timeout(1) sends each twice.
const SAME_SIGNAL_WINDOW: Duration = Duration::from_millis(200);

/// SIGINT, SIGTERM and SIGCONT as they come, and a file descriptor that is readable then.
#[derive(Debug)]
pub struct Interrupts {
    arrived: Arc<Arrived>,
}

#[derive(Debug)]
struct Arrived {
    interrupts: Mutex<VecDeque<Interrupt>>,
    /// The first that wanted an end.
    end: OnceLock<EndSignal>,
    event: EventFd,
}

impl Interrupts {
    /// Takes the signals over from their default action. Call it before any other thread is started: a
    /// thread keeps the signal mask that it was started with. `at_end` is called when the first comes
    /// that wants an end, on a thread that must not be kept.
    pub fn take(second: Second, at_end: impl Fn() + Send + 'static) -> Result<Self> {
        let refuse = |source: io::Error| Error::System {
            what: "SIGINT, SIGTERM and SIGCONT can't be taken over by a thread",
            source,
        };
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        // Blocked, it still continues a stopped process; it only comes to us as well.
        signals.add(Signal::SIGCONT);
        signals.thread_block().map_err(|errno| refuse(errno.into()))?;
        let event = EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(refuse)?;
        let arrived =
            Arc::new(Arrived { interrupts: Mutex::default(), end: OnceLock::new(), event });
        let of_thread = arrived.clone();
        let thread = Builder::new().name("signals".into());
        thread.spawn(move || of_thread.listen(&signals, second, at_end)).map_err(refuse)?;
        Ok(Self { arrived })
    }

    /// The next signal that has come; it is taken.
    pub fn take_next(&self) -> Option<Interrupt> {
        // It counts, and is readable until it is read; one that comes meanwhile is in the list below.
        let _ = self.arrived.event.read();
        let mut interrupts = self.arrived.lock();
        let next = interrupts.pop_front();
        if !interrupts.is_empty() {
            let _ = self.arrived.event.write(1);
        }
        next
    }

    /// The signal by which the user wants an end, or has wanted it before.
    pub fn end(&self) -> Option<EndSignal> {
        self.arrived.end.get().copied()
    }

    /// Cancels runs as soon as the user wants an end.
    pub fn cancel(&self) -> Cancel {
        let arrived = self.arrived.clone();
        Cancel::when(move || arrived.end.get().is_some())
    }

    /// Whether the user wants an end. What has come is taken.
    pub fn arrived(&self) -> bool {
        std::iter::from_fn(|| self.take_next()).any(|interrupt| interrupt == Interrupt::End)
    }
}

impl AsRawFd for Interrupts {
    fn as_raw_fd(&self) -> RawFd {
        self.arrived.event.as_raw_fd()
    }
}

impl Arrived {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Interrupt>> {
        self.interrupts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, signals: &SigSet, second: Second, at_end: impl Fn()) {
        let mut ended: Option<Instant> = None;
        loop {
            // It fails for a set of signals that can't be waited for, and these can.
            let Ok(signal) = signals.wait() else { return };
            let interrupt = match signal {
                Signal::SIGCONT => Interrupt::Continue,
                _ if ended.is_some_and(|when| when.elapsed() < SAME_SIGNAL_WINDOW) => continue,
                _ if ended.is_some() && second == Second::Ends => return die(signal),
                Signal::SIGTERM => {
                    self.end.get_or_init(|| EndSignal::Terminate);
                    Interrupt::End
                }
                _ => {
                    self.end.get_or_init(|| EndSignal::Interrupt);
                    Interrupt::End
                }
            };
            self.lock().push_back(interrupt);
            let _ = self.event.write(1);
            if interrupt == Interrupt::End {
                ended = Some(Instant::now());
                at_end();
            }
        }
    }
}

/// Ends the program as if the signal had never been taken over.
fn die(signal: Signal) {
    let _ = SigSet::from(signal).thread_unblock();
    let _ = raise(signal);
}
