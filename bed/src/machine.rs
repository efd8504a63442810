//! The machine while it runs: whether it has booted, whether it is late, and its console output.

use std::io::Read;
use std::process::{Child, ChildStdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::streams::{Tail, pump};
use crate::tool;

/// The time between two looks at a machine.
pub(crate) const POLL: Duration = Duration::from_millis(10);
/// How long a program may take to end after SIGTERM.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);
/// How many lines of the console are shown when the machine failed.
const CONSOLE: usize = 30;

/// A running emulator, which is killed when this is dropped.
pub(crate) struct Machine {
    emulator: Child,
    /// An open pipe: an emulator may take the end of its input for a command to end.
    input: Option<ChildStdin>,
    console: Tail,
    readers: Vec<JoinHandle<()>>,
    has_ended: Arc<AtomicBool>,
}

/// What a machine and the program in it have reported, and how they are addressed.
pub(crate) trait Control {
    /// Whether the machine has booted.
    fn is_up(&self) -> bool;

    /// What has gone wrong in a machine that will not power off.
    fn failure(&self) -> Option<&'static str> {
        None
    }

    /// Asks the program to end. `false` means that this emulator can't pass the request on.
    fn terminate(&self) -> bool;
}

/// The times that a machine may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the machine was started.
    pub(crate) start: Instant,
    /// How long booting may take on a busy host.
    pub(crate) boot: Duration,
    /// How long everything may take.
    pub(crate) limit: Option<Duration>,
}

impl Machine {
    /// Takes over an emulator that was just started. What it prints belongs to the console.
    pub(crate) fn new(mut emulator: Child) -> Self {
        let input = emulator.stdin.take();
        let (output, errors) = (emulator.stdout.take(), emulator.stderr.take());
        let mut machine = Self {
            emulator,
            input,
            console: Tail::default(),
            readers: Vec::new(),
            has_ended: Arc::default(),
        };
        if let Some(output) = output {
            machine.add_console(output);
        }
        if let Some(errors) = errors {
            machine.add_console(errors);
        }
        machine
    }

    /// Adds a stream to the console. The stream must end when the emulator has ended.
    pub(crate) fn add_console(&mut self, from: impl Read + Send + 'static) {
        let to = self.console.clone();
        self.readers.push(thread::spawn(|| pump(from, to)));
    }

    /// A flag that is set when the emulator writes no more.
    pub(crate) fn has_ended(&self) -> Arc<AtomicBool> {
        self.has_ended.clone()
    }

    /// Whether the emulator is running.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.emulator.try_wait(), Ok(None))
    }

    /// Supervises the job until the machine has powered off.
    pub(crate) fn watch(
        &mut self,
        control: &dyn Control,
        times: Times,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        let Times { start, boot, limit } = times;
        let mut stopped: Option<Instant> = None;
        while self.runs() {
            let is_up = control.is_up();
            if !is_up && start.elapsed() > boot {
                return Err(self.broken(&format!("didn't boot within {boot:?}")));
            }
            if let Some(failure) = control.failure() {
                return Err(self.broken(failure));
            }
            if let Some(limit) = limit.filter(|limit| start.elapsed() > *limit) {
                return Err(self.broken(&format!("was not done within {limit:?}")));
            }
            if stop() {
                if !is_up {
                    return Err(Error::Interrupted { when: "while it booted" });
                }
                if stopped.replace(Instant::now()).is_some() {
                    return Err(self.broken("was switched off"));
                }
                if !control.terminate() {
                    return Err(Error::Interrupted {
                        when: "and switched off: its program can't be told, and no files came out",
                    });
                }
            }
            if stopped.is_some_and(|when| when.elapsed() > EXIT_TIMEOUT) {
                return Err(self.broken("had to be switched off: its program didn't end"));
            }
            thread::sleep(POLL);
        }
        self.switch_off();
        Ok(())
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

    /// Ends the emulator, if it has not ended.
    pub(crate) fn switch_off(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
        self.has_ended.store(true, Ordering::Release);
        drop(self.input.take());
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
