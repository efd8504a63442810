//! The machine while it runs: whether it has booted, whether it is late, and its console output.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{At, Error, Result};
use crate::parts::Parts;
use crate::ports::{self, Tail};
use crate::{qemu, tool};

const POLL: Duration = Duration::from_millis(10);
/// The machine boots in 5 s; on a busy host it may take longer.
const BOOT_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a program may take to end after SIGTERM.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);
/// How many lines of the console are shown when the machine failed.
const CONSOLE: usize = 30;

/// A running QEMU, which is killed when this is dropped.
pub(crate) struct Machine {
    qemu: Child,
    console: Tail,
    readers: Vec<JoinHandle<()>>,
}

impl Machine {
    pub(crate) fn start(parts: &Parts, archive: &Path, sockets: &Path) -> Result<Self> {
        let mut qemu = qemu::start(parts, archive, sockets)?;
        let console = Tail::default();
        let mut readers = Vec::new();
        if let Some(out) = qemu.stdout.take() {
            let to = console.clone();
            readers.push(thread::spawn(|| ports::pump(out, to)));
        }
        if let Some(errors) = qemu.stderr.take() {
            let to = console.clone();
            readers.push(thread::spawn(|| ports::pump(errors, to)));
        }
        Ok(Self { qemu, console, readers })
    }

    /// Waits until QEMU connects to a socket.
    pub(crate) fn accept(&mut self, listener: &UnixListener, start: Instant) -> Result<UnixStream> {
        while self.runs() {
            if let Some(stream) = ports::accept(listener).at(Path::new("a port's socket"))? {
                return Ok(stream);
            }
            if start.elapsed() > BOOT_TIMEOUT {
                return Err(self.broken("doesn't start"));
            }
            thread::sleep(POLL);
        }
        Err(self.broken("ended at once"))
    }

    fn runs(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(None))
    }

    /// Supervises the job until the machine has powered off, and returns its exit status.
    pub(crate) fn watch(
        &mut self,
        control: &UnixStream,
        limit: Option<Duration>,
        start: Instant,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<i32> {
        let said = Said::listen(control)?;
        let mut stopped: Option<Instant> = None;
        while self.runs() {
            let is_up = said.is_up();
            if !is_up && start.elapsed() > BOOT_TIMEOUT {
                return Err(self.broken(&format!("didn't boot within {BOOT_TIMEOUT:?}")));
            }
            if let Some(limit) = limit.filter(|limit| start.elapsed() > *limit) {
                return Err(self.broken(&format!("was not done within {limit:?}")));
            }
            if stop() {
                if !is_up {
                    return Err(Error::Interrupted);
                }
                if stopped.replace(Instant::now()).is_some() {
                    return Err(self.broken("was switched off"));
                }
                let mut control = control;
                let _ = control.write_all(b"TERM\n");
            }
            if stopped.is_some_and(|when| when.elapsed() > EXIT_TIMEOUT) {
                return Err(self.broken("had to be switched off: its program didn't end"));
            }
            thread::sleep(POLL);
        }
        let told = said.status();
        told.ok_or_else(|| self.broken("ended without a status of its program"))
    }

    /// Switches the machine off, and returns an error with the end of its console output.
    pub(crate) fn broken(&mut self, what: &str) -> Error {
        self.switch_off();
        let mut console = tool::tail(&self.console.text(), CONSOLE);
        if console.is_empty() {
            console.push_str("  (nothing)");
        }
        Error::Broken { what: what.to_owned(), console }
    }

    fn switch_off(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.switch_off();
    }
}

/// The lines that have arrived on the control port.
struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Said {
    fn listen(control: &UnixStream) -> Result<Self> {
        let stream = control.try_clone().at(Path::new("the control port"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(io::Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { lines, reader })
    }

    fn is_up(&self) -> bool {
        !self.lines.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The program's exit status. Call this when no more lines can arrive.
    fn status(self) -> Option<i32> {
        let _ = self.reader.join();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find_map(|line| line.strip_prefix("exit ")?.parse().ok())
    }
}
