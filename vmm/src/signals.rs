//! The signals by which a user ends a run (Ctrl-C and `kill`) or continues a suspended one
//! (SIGCONT).
//!
//! A dedicated thread waits for these signals, so that they are handled whatever the other threads
//! wait for. The first signal that asks for the end is passed on, and the run ends in order; the
//! second ends the program.
//!
//! The thread also takes SIGTSTP, SIGHUP and SIGQUIT. They do what they always do; the program only
//! hears of them before, because a terminal that it has changed must not stay so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::sys::pthread::{Pthread, pthread_kill};
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

/// What a signal is about to do, or has done. The program may have a terminal to put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A signal that asks for the end has been passed on.
    Ends,
    /// The program is about to die at once.
    Dies,
    /// The program is about to be stopped.
    Stops,
    /// The program goes on after it was stopped.
    Continues,
}

/// A second signal within this time after the first is ignored: timeout(1) sends each signal twice.
const SAME_SIGNAL_WINDOW: Duration = Duration::from_millis(200);

/// The signal by which the program wakes the thread for an errand. By default it does nothing, so
/// one that comes from elsewhere is not missed.
const ERRAND: Signal = Signal::SIGURG;

/// Something that the thread does once.
type Errand = Box<dyn FnOnce() + Send>;

/// The signals that the thread takes. A blocked SIGCONT still continues a stopped process; in
/// addition it is reported.
const TAKEN: [Signal; 7] = [
    ERRAND,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Receives SIGINT, SIGTERM and SIGCONT. Its file descriptor is readable when a signal has arrived.
///
/// A clone shares what has arrived: each signal is taken by one of them. [`Signals::another`] makes
/// a receiver that gets every signal, too.
#[derive(Clone, Debug)]
pub struct Signals {
    arrived: Arc<Arrived>,
    inbox: Arc<Inbox>,
}

/// What has arrived, for all receivers.
#[derive(Default)]
struct Arrived {
    /// The first signal that asked for the end.
    end: OnceLock<EndSignal>,
    inboxes: Mutex<Vec<Weak<Inbox>>>,
    errands: Mutex<Vec<Errand>>,
    /// The thread that waits for the signals.
    thread: OnceLock<Pthread>,
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrived").field("end", &self.end).finish_non_exhaustive()
    }
}

/// What one receiver has not taken yet.
#[derive(Debug)]
struct Inbox {
    signals: Mutex<VecDeque<Request>>,
    event: EventFd,
}

impl Signals {
    /// Takes over the signals from their default actions. Call this before any other thread is
    /// started: a new thread inherits the signal mask of its creator. `at` is called at each
    /// [`Moment`]. It runs on the signal thread, so it must return quickly.
    pub fn take(second: Second, at: impl Fn(Moment) + Send + 'static) -> Result<Self> {
        let refuse = |source: io::Error| Error::System {
            what: "SIGINT, SIGTERM and SIGCONT can't be taken over by a thread",
            source,
        };
        let signals: SigSet = TAKEN.into_iter().collect();
        signals.thread_block().map_err(|errno| refuse(errno.into()))?;
        let arrived = Arc::new(Arrived::default());
        let inbox = arrived.inbox().map_err(refuse)?;
        let of_thread = arrived.clone();
        let thread = Builder::new().name("signals".into());
        let thread =
            thread.spawn(move || of_thread.listen(&signals, second, at)).map_err(refuse)?;
        arrived.thread.get_or_init(|| thread.as_pthread_t());
        Ok(Self { arrived, inbox })
    }

    /// Another receiver of the same signals, for a machine that runs beside others. A signal that
    /// has asked for the end already arrives there, too.
    pub fn another(&self) -> Result<Self> {
        let refuse = |source| Error::System { what: "a receiver of signals can't be made", source };
        let inbox = self.arrived.inbox().map_err(refuse)?;
        if self.end().is_some() {
            inbox.put(Request::End);
        }
        Ok(Self { arrived: self.arrived.clone(), inbox })
    }

    /// Does something on the thread that waits for the signals, and waits for its result: what the
    /// kernel keeps for each thread, such as what it may open, is changed only by the thread. It
    /// has to return quickly. Fails if the thread doesn't answer within a generous time.
    pub fn on_thread<T: Send + 'static>(
        &self,
        errand: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let refuse = |source: io::Error| Error::System {
            what: "the thread that waits for signals can't be reached",
            source,
        };
        let (done, result) = channel();
        let errand = move || drop(done.send(errand()));
        lock(&self.arrived.errands).push(Box::new(errand));
        // The thread never ends, so its identifier stays its own.
        if let Some(thread) = self.arrived.thread.get() {
            pthread_kill(*thread, ERRAND).map_err(|errno| refuse(errno.into()))?;
        }
        result.recv_timeout(TIMEOUT).map_err(|error| refuse(io::Error::other(error)))
    }

    /// Removes and returns the next signal that has arrived.
    pub fn take_next(&self) -> Option<Request> {
        // The eventfd counts, and is readable until it is read. A signal that arrives between this
        // read and the lock is in the list below.
        let _ = self.inbox.event.read();
        let mut signals = lock(&self.inbox.signals);
        let next = signals.pop_front();
        if !signals.is_empty() {
            let _ = self.inbox.event.write(1);
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
        self.inbox.event.as_raw_fd()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    fn put(&self, request: Request) {
        lock(&self.signals).push_back(request);
        let _ = self.event.write(1);
    }
}

impl Arrived {
    /// A new receiver's inbox.
    fn inbox(&self) -> io::Result<Arc<Inbox>> {
        let event = EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC)?;
        let inbox = Arc::new(Inbox { signals: Mutex::default(), event });
        lock(&self.inboxes).push(Arc::downgrade(&inbox));
        Ok(inbox)
    }

    fn put(&self, request: Request) {
        lock(&self.inboxes).retain(|inbox| match inbox.upgrade() {
            Some(inbox) => {
                inbox.put(request);
                true
            }
            None => false,
        });
    }

    fn listen(&self, signals: &SigSet, second: Second, at: impl Fn(Moment)) {
        let mut ended: Option<Instant> = None;
        loop {
            // Waiting fails only for an invalid set of signals, and this set is valid.
            let Ok(signal) = signals.wait() else { return };
            let request = match signal {
                ERRAND => {
                    let errands = std::mem::take(&mut *lock(&self.errands));
                    for errand in errands {
                        errand();
                    }
                    continue;
                }
                Signal::SIGCONT => {
                    at(Moment::Continues);
                    Request::Continue
                }
                Signal::SIGTSTP => {
                    act(signal, Moment::Stops, &at);
                    continue;
                }
                Signal::SIGHUP | Signal::SIGQUIT => {
                    act(signal, Moment::Dies, &at);
                    continue;
                }
                _ if ended.is_some_and(|when| when.elapsed() < SAME_SIGNAL_WINDOW) => continue,
                _ if ended.is_some() && second == Second::Ends => {
                    act(signal, Moment::Dies, &at);
                    continue;
                }
                Signal::SIGTERM => {
                    self.end.get_or_init(|| EndSignal::Terminate);
                    Request::End
                }
                _ => {
                    self.end.get_or_init(|| EndSignal::Interrupt);
                    Request::End
                }
            };
            self.put(request);
            if request == Request::End {
                ended = Some(Instant::now());
                at(Moment::Ends);
            }
        }
    }
}

/// Lets a signal do what it does to a program that has not taken it over. The program goes on after
/// that if it was stopped and continued, or if its parent has it ignore the signal.
fn act(signal: Signal, moment: Moment, at: &impl Fn(Moment)) {
    at(moment);
    let signals = SigSet::from(signal);
    let _ = signals.thread_unblock();
    let _ = raise(signal);
    let _ = signals.thread_block();
    at(Moment::Continues);
}
