//! Where a guest's console goes.

use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The guest's console on standard output, a line at a time: a UART sends single bytes, and a
/// system call for each would cost the guest dearly. A terminal gets every byte at once, so that
/// prompts show.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
    line: Vec<u8>,
    at_once: bool,
}

/// The longest line that is kept back.
const MAX_LINE: usize = 4096;

impl Screen {
    pub(crate) fn new() -> Self {
        let out = io::stdout();
        let at_once = out.is_terminal();
        Self { out, line: Vec::new(), at_once }
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = self.out.write_all(&self.line).and_then(|()| self.out.flush());
        self.line.clear();
        sent
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.at_once || bytes.contains(&b'\n') || self.line.len() >= MAX_LINE {
            self.send()?;
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
        // A reader that has gone away has said that it wants no more.
        let _ = self.send();
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
