//! The signals by which a user ends a run (Ctrl-C and `kill`) or continues a suspended one
//! (SIGCONT).
//!
//! A dedicated thread waits for these signals, so that they are handled whatever the other threads
//! wait for. The first signal that asks for the end is passed on, and the run ends in order; the
//! second ends the program.

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

/// What the user asks for with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGINT or SIGTERM: end the run.
    End,
    /// SIGCONT: continue a suspended run.
    Continue,
}

/// A signal that asks for the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// What a second signal that asks for the end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// It ends the program at once.
    Ends,
    /// It is passed on like the first: something needs cleaning up before the program ends.
    IsPassedOn,
}

/// A second signal within this time after the first is ignored: timeout(1) sends each signal twice.
const SAME_SIGNAL_WINDOW: Duration = Duration::from_millis(200);

/// Receives SIGINT, SIGTERM and SIGCONT. Its file descriptor is readable when a signal has arrived.
#[derive(Debug)]
pub struct Signals {
    arrived: Arc<Arrived>,
}

#[derive(Debug)]
struct Arrived {
    signals: Mutex<VecDeque<Request>>,
    /// The first signal that asked for the end.
    end: OnceLock<EndSignal>,
    event: EventFd,
}

impl Signals {
    /// Takes over the signals from their default actions. Call this before any other thread is
    /// started: a new thread inherits the signal mask of its creator. `at_end` is called for each
    /// signal that asks for the end and is passed on. It runs on the signal thread, so it must
    /// return quickly.
    pub fn take(second: Second, at_end: impl Fn() + Send + 'static) -> Result<Self> {
        let refuse = |source: io::Error| Error::System {
            what: "SIGINT, SIGTERM and SIGCONT can't be taken over by a thread",
            source,
        };
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        // A blocked SIGCONT still continues a stopped process; in addition it is now reported here.
        signals.add(Signal::SIGCONT);
        signals.thread_block().map_err(|errno| refuse(errno.into()))?;
        let event = EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(refuse)?;
        let arrived = Arc::new(Arrived { signals: Mutex::default(), end: OnceLock::new(), event });
        let of_thread = arrived.clone();
        let thread = Builder::new().name("signals".into());
        thread.spawn(move || of_thread.listen(&signals, second, at_end)).map_err(refuse)?;
        Ok(Self { arrived })
    }

    /// Removes and returns the next signal that has arrived.
    pub fn take_next(&self) -> Option<Request> {
        // The eventfd counts, and is readable until it is read. A signal that arrives between this
        // read and the lock is in the list below.
        let _ = self.arrived.event.read();
        let mut signals = self.arrived.lock();
        let next = signals.pop_front();
        if !signals.is_empty() {
            let _ = self.arrived.event.write(1);
        }
        next
    }

    /// The first signal by which the user asked for the end, if there was one.
    pub fn end(&self) -> Option<EndSignal> {
        self.arrived.end.get().copied()
    }

    /// A [`Cancel`] that cancels runs as soon as the user asks for the end.
    pub fn cancel(&self) -> Cancel {
        let arrived = self.arrived.clone();
        Cancel::when(move || arrived.end.get().is_some())
    }

    /// Whether the user asks for the end. Removes all signals up to the first that does.
    pub fn arrived(&self) -> bool {
        std::iter::from_fn(|| self.take_next()).any(|request| request == Request::End)
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.arrived.event.as_raw_fd()
    }
}

impl Arrived {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Request>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, signals: &SigSet, second: Second, at_end: impl Fn()) {
        let mut ended: Option<Instant> = None;
        loop {
            // Waiting fails only for an invalid set of signals, and this set is valid.
            let Ok(signal) = signals.wait() else { return };
            let request = match signal {
                Signal::SIGCONT => Request::Continue,
                _ if ended.is_some_and(|when| when.elapsed() < SAME_SIGNAL_WINDOW) => continue,
                _ if ended.is_some() && second == Second::Ends => return die(signal),
                Signal::SIGTERM => {
                    self.end.get_or_init(|| EndSignal::Terminate);
                    Request::End
                }
                _ => {
                    self.end.get_or_init(|| EndSignal::Interrupt);
                    Request::End
                }
            };
            self.lock().push_back(request);
            let _ = self.event.write(1);
            if request == Request::End {
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
