//! Reads the files that the user names.
//!
//! A FIFO may have no writer, and a device no end, so a read is bounded, and a signal that asks for
//! the end of the program ends it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use experiments::Finding;
use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use vmm::signals::{EndSignal, Signals};

/// The longest image or file of symbols that is read, in bytes: longer than any kernel with its
/// debugging information.
const MAX_IMAGE: u64 = 2 << 30;
/// The most bytes of an image or of symbols that are read from a pipe or a device, whose length is
/// not known before.
const MAX_STREAM: u64 = 256 << 20;
/// The longest text (a script, a schedule or a finding) that is read, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// The number of bytes that are read between two checks for signals.
const PIECE: u64 = 1 << 20;
/// How long a wait for a writer takes before the next check for signals.
const POLL_TIMEOUT_MS: u8 = 20; // milliseconds

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Error {
    Io(io::Error),
    /// A signal asked for the end of the program.
    Interrupted(EndSignal),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Interrupted(_) => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the bytes of an image or of a file of symbols.
pub(crate) fn bytes(path: &Path, signals: &Signals) -> Result<Vec<u8>, Error> {
    up_to(path, (MAX_IMAGE, MAX_STREAM), signals)
}

/// Fails if a path is not that of a regular file.
pub(crate) fn regular(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_file() {
        return Ok(());
    }
    Err(io::Error::other("it is not a regular file"))
}

/// Hands over a regular file of any length piece by piece.
pub(crate) fn pieces(
    path: &Path,
    signals: &Signals,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Error> {
    // Before it is opened: a FIFO may have no writer.
    regular(path)?;
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE as usize];
    loop {
        if let Some(signal) = signals.end() {
            return Err(Error::Interrupted(signal));
        }
        match file.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
            Ok(0) => return Ok(()),
            Ok(length) => take(&piece[..length]),
        }
    }
}

/// Reads a text.
pub(crate) fn text(path: &Path, signals: &Signals) -> Result<String, Error> {
    let bytes = up_to(path, (MAX_TEXT, MAX_TEXT), signals)?;
    Ok(String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?)
}

/// Reads a finding.
pub(crate) fn finding(path: &Path, signals: &Signals) -> anyhow::Result<Finding> {
    let bytes = up_to(path, (MAX_TEXT, MAX_TEXT), signals);
    let bytes = bytes.with_context(|| path.display().to_string())?;
    Ok(Finding::from_bytes(path, bytes)?)
}

/// Reads a file whole. The limits are those of a regular file, and of a pipe or device.
fn up_to(path: &Path, limits: (u64, u64), signals: &Signals) -> Result<Vec<u8>, Error> {
    // Without O_NONBLOCK, opening a FIFO waits until another process opens it for writing.
    let flags = O_NONBLOCK | O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let most = if metadata.is_file() { limits.0 } else { limits.1 };
    let too_long = || io::Error::other(format!("it is longer than {} MiB", most >> 20));
    if metadata.len() > most {
        return Err(too_long().into());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    loop {
        if let Some(signal) = signals.end() {
            return Err(Error::Interrupted(signal));
        }
        if !is_ready(&file)? {
            continue;
        }
        let before = bytes.len() as u64;
        match (&file).take(PIECE.min(most + 1 - before)).read_to_end(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
            Ok(_) if bytes.len() as u64 > most => return Err(too_long().into()),
            Ok(length) if (length as u64) < PIECE => return Ok(bytes),
            Ok(_) => {}
        }
    }
}

/// Whether a read would not wait. A FIFO that no process has opened for writing is not ready.
fn is_ready(file: &File) -> io::Result<bool> {
    let mut files = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut files, PollTimeout::from(POLL_TIMEOUT_MS)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
