//! The streams between Bochs and the host: serial ports inside, growing files outside.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::error::{At, Result};
use crate::job::Ended;
use crate::machine::{Control, POLL};

/// What the machine sends first on [`Port::Results`].
const READY: &[u8] = b"ready\n";

/// A serial port. `streams.sh` uses the same order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Port {
    /// The console of the kernel.
    Console,
    /// The program's standard output.
    Output,
    /// The program's standard error.
    Errors,
    /// The line `ready`, the archive of the files that are carried out, the line `exit STATUS`.
    Results,
}

impl Port {
    /// All ports, in order.
    pub(super) const ALL: [Self; 4] = [Self::Console, Self::Output, Self::Errors, Self::Results];

    /// The name of the file to which Bochs writes what the port sends.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Output => "output",
            Self::Errors => "errors",
            Self::Results => "results",
        }
    }

    fn path(self, folder: &Path) -> PathBuf {
        folder.join(self.file())
    }

    /// Creates the file, so that it can be opened before Bochs writes to it.
    pub(super) fn make(self, folder: &Path) -> Result<()> {
        let path = self.path(folder);
        fs::write(&path, "").at(&path)
    }
}

/// Reads a file that grows. Its end is the end of the file once the writer has ended.
pub(super) struct Follow {
    file: File,
    has_ended: Arc<AtomicBool>,
}

impl Follow {
    /// Follows what a port sends.
    pub(super) fn port(port: Port, folder: &Path, has_ended: Arc<AtomicBool>) -> Result<Self> {
        let path = port.path(folder);
        Ok(Self { file: File::open(&path).at(&path)?, has_ended })
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // This order: what was written before the end is still read.
            let has_ended = self.has_ended.load(Ordering::Acquire);
            let length = self.file.read(buffer)?;
            if length > 0 || has_ended {
                return Ok(length);
            }
            thread::sleep(POLL);
        }
    }
}

/// What the machine reports: on [`Port::Results`], and what its kernel says.
pub(super) struct Reports {
    results: PathBuf,
    console: PathBuf,
}

impl Reports {
    pub(super) fn of(folder: &Path) -> Self {
        Self { results: Port::Results.path(folder), console: Port::Console.path(folder) }
    }
}

impl Control for Reports {
    fn is_up(&self) -> bool {
        self.results.metadata().is_ok_and(|file| file.len() > 0)
    }

    fn failure(&self) -> Option<&'static str> {
        const PANIC: &[u8] = b"Kernel panic - not syncing";
        let console = fs::read(&self.console).unwrap_or_default();
        // After a panic, the kernel does nothing: a reboot would boot the same image again.
        let has_panicked = console.windows(PANIC.len()).any(|window| window == PANIC);
        has_panicked.then_some("panicked")
    }

    fn terminate(&self) -> bool {
        false
    }
}

/// What came out on [`Port::Results`], if it is complete.
pub(super) fn ended(folder: &Path) -> Result<Option<Ended>> {
    let path = Port::Results.path(folder);
    Ok(parse(&fs::read(&path).at(&path)?))
}

fn parse(results: &[u8]) -> Option<Ended> {
    const MARK: &[u8] = b"exit ";
    let rest = results.strip_prefix(READY)?.strip_suffix(b"\n")?;
    let at = rest.windows(MARK.len()).rposition(|window| window == MARK)?;
    let status = std::str::from_utf8(&rest[at + MARK.len()..]).ok()?.parse().ok()?;
    Some(Ended { status, files: rest[..at].to_vec() })
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
