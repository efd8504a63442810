//! `run --gdb`: lets gdb stop a machine that runs in real time, look at it, change it and let it go
//! on.
//!
//! A thread waits for gdb and serves it, one client after the other, until the run ends. The
//! machine stands still before its first instruction until the first one lets it go on.

mod asked;
mod breakpoints;
mod monitor;
mod resume;
mod target;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use anyhow::{Context, Result};
use inspect::Monitor;
use vmm::parallel::{Debugger, NotRunning, Remote};

use super::Address;
use super::listener::Listener;
use super::session::{self, Failure, Left};
use crate::tell;
use target::Live;

/// How long the end of the run waits until gdb has been told.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the thread looks whether the run was given up before it began.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Serves gdb, until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    is_over: Arc<AtomicBool>,
    /// Disconnected at the end of the thread.
    ended: Receiver<()>,
}

/// What is debugged.
pub(crate) struct Machine {
    pub(crate) remote: Remote,
    pub(crate) monitor: Monitor,
    /// The guest's image.
    pub(crate) image: Cow<'static, [u8]>,
}

impl Server {
    /// Waits for gdb at this address, on a thread of its own.
    pub(crate) fn start(address: &Address, machine: Machine) -> Result<Self> {
        let listener = Listener::bind(address)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (ends, ended) = channel();
        tell::user(&format!(
            "jitterbug: waiting for gdb before the first instruction: target remote {}",
            listener.name()
        ));
        let of_thread = is_over.clone();
        let serve = move || {
            // The socket's file is removed before the end is told.
            let _ends: Sender<()> = ends;
            let listener = listener;
            serve_all(&listener, &machine, &of_thread);
        };
        Builder::new().name("gdb".into()).spawn(serve).context("--gdb: no thread for it")?;
        Ok(Self { is_over, ended })
    }
}

impl Drop for Server {
    /// Lets gdb be told how the run ended.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if self.ended.recv_timeout(END_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::info!("gdb was not told in time how the run ended");
        }
    }
}

/// Lets the machine go on if the thread that serves gdb panics.
struct Guarded(Debugger);

impl Drop for Guarded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.detach();
        }
    }
}

/// Serves one client after the other, until the run is over.
fn serve_all(listener: &Listener, machine: &Machine, is_over: &AtomicBool) {
    let debugger = loop {
        match machine.remote.debugger(POLL_INTERVAL) {
            Some(debugger) => break Guarded(debugger),
            None if is_over.load(Ordering::SeqCst) => return,
            None => {}
        }
    };
    let debugger = &debugger.0;
    let is_over = || debugger.is_over() || is_over.load(Ordering::SeqCst);
    while let Some(said) = serve(listener, debugger, machine, &is_over) {
        tell::user(&format!("jitterbug: {said}"));
    }
}

/// Serves one client. Returns what to tell the user; `None` if there will be no other client.
fn serve(
    listener: &Listener,
    debugger: &Debugger,
    machine: &Machine,
    is_over: &dyn Fn() -> bool,
) -> Option<String> {
    let connection = match listener.accept(is_over) {
        Ok(connection) => connection?,
        Err(error) => {
            debugger.detach();
            tell::user(&format!("jitterbug: {error:#}: the machine goes on without gdb"));
            return None;
        }
    };
    debugger.stop();
    let Ok(mut live) = Live::new(debugger, machine) else { return None };
    let served = session::serve(connection, &mut live, is_over);
    if live.is_quitting {
        // The machine stands still until the run has ended.
        return None;
    }
    let left = match served {
        Ok(Left::Told | Left::Over) | Err(Failure::Target(NotRunning)) => return None,
        Ok(Left::Killed) => {
            tell::user("jitterbug: gdb has killed the machine");
            machine.monitor.quit();
            return None;
        }
        Ok(Left::Detached) => "gdb has detached itself".to_owned(),
        Ok(Left::Lost) => "gdb has gone without `detach`".to_owned(),
        Err(Failure::Protocol(problem)) => format!(
            "--gdb: the client doesn't speak gdb's protocol as jitterbug knows it: {problem}"
        ),
    };
    debugger.detach();
    let others = debugger.other_standstills();
    let machine = if others.is_empty() {
        "the machine goes on".to_owned()
    } else {
        format!("the machine stands still, because {}", resume::who(&others))
    };
    Some(format!("{left}: {machine}, and another gdb can connect"))
}
