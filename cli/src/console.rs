//! Where a guest's console goes.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::tell;

/// What kept standard output from taking all that guests printed. A reader who has gone away has said
/// that it wants no more, and is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<OnceLock<io::Error>>);

impl Lost {
    pub(crate) fn why(&self) -> Option<&io::Error> {
        self.0.get()
    }

    fn note(&self, error: io::Error) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            // The first is what the user wants to know.
            let _ = self.0.set(error);
        }
    }
}

/// Where a console is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error, because standard output is for something else.
    Error,
}

impl Stream {
    /// Shows a console that was kept.
    pub(crate) fn show(self, text: &str) {
        match self {
            // If nobody can be told of the guest, nobody can be told of that.
            Self::Output => drop(tell::output(text)),
            Self::Error => tell::user(text.trim_end_matches('\n')),
        }
    }
}

/// The guest's console on a standard stream, a line at a time: a UART sends single bytes, and a
/// system call for each would cost the guest dearly. A terminal gets every byte at once, so that
/// prompts show.
pub(crate) struct Screen {
    out: Box<dyn Write + Send>,
    line: Vec<u8>,
    at_once: bool,
    lost: Lost,
}

/// The longest line that is kept back.
const MAX_LINE: usize = 4096;

impl Screen {
    pub(crate) fn new(on: Stream, lost: Lost) -> Self {
        let (out, at_once): (Box<dyn Write + Send>, bool) = match on {
            Stream::Output => (Box::new(io::stdout()), io::stdout().is_terminal()),
            Stream::Error => (Box::new(io::stderr()), io::stderr().is_terminal()),
        };
        Self { out, line: Vec::new(), at_once, lost }
    }

    fn send(&mut self) {
        if let Err(error) = self.out.write_all(&self.line).and_then(|()| self.out.flush()) {
            self.lost.note(error);
        }
        self.line.clear();
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.at_once || bytes.contains(&b'\n') || self.line.len() >= MAX_LINE {
            self.send();
        }
        Ok(bytes.len())
    }

    // The UART flushes after every byte; what is kept back goes out with its newline, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.send();
    }
}

/// A console that is kept, for reports and for runs that may turn out to be of no interest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// What the guest has printed.
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
