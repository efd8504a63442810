//! Where the guest's console output goes.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use vmm::parallel::Outlet;

use crate::writer::{self, OUTPUT, Stream};

/// Shows a console that was captured.
pub(crate) fn show(on: Stream, text: &str) {
    if on == OUTPUT {
        on.put(text);
    } else {
        on.put(format!("{}\n", text.trim_end_matches('\n')));
    }
}

/// The stream to which a run prints; `None` if the output is captured, which is never full.
pub(crate) struct Printing(pub(crate) Option<Stream>);

impl Outlet for Printing {
    fn is_full(&self) -> bool {
        self.0.is_some_and(Stream::is_full)
    }

    fn cut_short(&self) {
        writer::hurry();
    }
}

/// Shows the guest's console on a standard stream, line by line: a UART sends single bytes, and
/// each would wake up the writer's thread. A terminal gets every byte immediately, as a person who
/// types expects; a program that reads a pipe gets a prompt when its line doesn't go on.
pub(crate) struct Screen {
    stream: Stream,
    at_once: bool,
    /// Whether the last byte was not a newline.
    in_line: bool,
}

impl Screen {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, at_once: is_terminal(stream), in_line: false }
    }
}

/// Whether a standard stream is a terminal.
pub(crate) fn is_terminal(stream: Stream) -> bool {
    if stream == OUTPUT { io::stdout().is_terminal() } else { io::stderr().is_terminal() }
}

impl Write for Screen {
    /// Never waits, because the caller holds the device's lock. The run waits for room at a point
    /// where it doesn't hold that lock.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_line = bytes.last().map_or(self.in_line, |last| *last != b'\n');
        if self.at_once {
            self.stream.offer(bytes);
        } else {
            self.stream.hold(bytes);
        }
        Ok(bytes.len())
    }

    // The UART flushes after every byte. A line that is held back is printed with its newline, when
    // it doesn't go on, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Messages about the run go to the same terminal, and should begin on a new line.
        if self.at_once && self.in_line {
            self.stream.offer("\n");
        }
        self.stream.release();
    }
}

/// A console that is captured, for reports and for runs that may turn out to be of no interest.
/// Only the end of a long console is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct CapturedConsole(Arc<Mutex<Captured>>);

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    dropped: u64,
}

/// What a guest has printed.
#[derive(Debug, Default)]
pub(crate) struct ConsoleText {
    /// The end of the output: at least the last [`MAX_CAPTURED`] bytes, if there are that many.
    pub(crate) text: String,
    /// The number of bytes before that.
    pub(crate) dropped: u64,
}

/// How many bytes of a captured console are kept at least. Up to twice as many are kept, so that
/// bytes are moved rarely.
const MAX_CAPTURED: usize = 1 << 20;

impl CapturedConsole {
    /// What the guest has printed so far.
    pub(crate) fn text(&self) -> ConsoleText {
        let captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&captured.bytes).into_owned();
        ConsoleText { text, dropped: captured.dropped }
    }
}

impl Write for CapturedConsole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        captured.bytes.extend_from_slice(bytes);
        if captured.bytes.len() > 2 * MAX_CAPTURED {
            let more = captured.bytes.len() - MAX_CAPTURED;
            captured.bytes.drain(..more);
            captured.dropped += more as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_console_is_kept() {
        let console = CapturedConsole::default();
        let mut of_guest = console.clone();
        let mut printed = String::new();
        for line in 0..400_000 {
            let line = format!("line {line}\n");
            of_guest.write_all(line.as_bytes()).unwrap();
            printed.push_str(&line);
        }
        let ConsoleText { text, dropped } = console.text();
        assert_eq!(text.len() as u64 + dropped, printed.len() as u64);
        assert!((MAX_CAPTURED..=2 * MAX_CAPTURED).contains(&text.len()), "{}", text.len());
        assert!(printed.ends_with(&text));
    }
}
