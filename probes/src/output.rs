//! Passes the output of the vCPUs' threads to one writer.
//!
//! Whole lines go through a bounded channel. A vCPU that prints faster than the writer can write
//! waits; nothing is dropped. The writer adds the names of functions below each stack, so that the
//! vCPUs don't spend time on the look-up.

mod line;
mod ring;
mod symbolise;
mod writer;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use inspect::Inspector;

pub use line::LineBuffer;
pub use ring::Ring;
use writer::{Message, Target};

/// How many lines the channel holds.
const CAPACITY: usize = 1024;

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A line as the script printed it.
    Script,
    /// The names of the functions in the stack of the script's previous line.
    Stack,
    /// A message to the user, such as one about a division by zero.
    Notice,
}

/// A line of output, without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The vCPU that printed it.
    pub vcpu: u32,
    /// The kind of the line.
    pub kind: LineKind,
    /// The line's bytes. Strings of guests need not be UTF-8.
    pub bytes: Vec<u8>,
}

impl OutputLine {
    /// The line as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// The writer and its thread.
#[derive(Debug)]
pub struct Output {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Output {
    /// Writes lines and stacks to `out` and notices to `notices`. The inspector is that of the
    /// machine; without one, stacks have no names.
    pub fn to_streams(
        out: Box<dyn Write + Send>,
        notices: Box<dyn Write + Send>,
        inspector: Option<Arc<Inspector>>,
    ) -> io::Result<Self> {
        Self::start(Target::Streams { out, notices }, inspector)
    }

    /// Calls `callback` with each line, in order, on the writer's thread.
    pub fn to_callback(
        callback: impl FnMut(OutputLine) + Send + 'static,
        inspector: Option<Arc<Inspector>>,
    ) -> io::Result<Self> {
        Self::start(Target::Callback(Box::new(callback)), inspector)
    }

    fn start(target: Target, inspector: Option<Arc<Inspector>>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let thread = thread::Builder::new()
            .name("probe-output".into())
            .spawn(move || writer::run(&receiver, target, inspector.as_deref()))?;
        Ok(Self { sender, thread: Some(thread) })
    }

    /// A sink for the vCPUs. Sinks may outlive the output; printing to them then fails.
    pub fn sink(&self) -> Sink {
        Sink { sender: self.sender.clone() }
    }

    /// Writes everything that was printed so far, flushes, and returns whether all of it could be
    /// written. The machine must have stopped: later output is lost.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // Sending fails if the writer has already ended; `join` then returns its error.
        let _ = self.sender.send(Message::Finish);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the output's callback panicked")))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // A caller that needs the error calls `finish`.
        let _ = self.end();
    }
}

/// The sending end of an [`Output`], for the vCPUs.
#[derive(Clone, Debug)]
pub struct Sink {
    sender: SyncSender<Message>,
}

impl Sink {
    /// Sends a line, and waits while the channel is full; `false` if the output is closed.
    pub fn send(&self, line: OutputLine) -> bool {
        self.sender.send(Message::Line(line)).is_ok()
    }

    /// Sends lines that must stay together, such as an aggregate. Their stacks are replaced by
    /// names if there are symbols.
    pub fn send_block(&self, lines: Vec<OutputLine>) -> bool {
        self.sender.send(Message::Block(lines)).is_ok()
    }
}

#[cfg(test)]
mod tests;
