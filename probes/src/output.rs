//! From the vCPUs' threads to one writer.
//!
//! Lines, never parts of lines, go through a bounded channel. A vCPU that prints faster than the
//! writer writes waits; nothing is dropped. The writer adds the names of the functions below each
//! stack, so that looking them up costs the vCPUs nothing.

mod line;
mod ring;
mod symbolise;
mod writer;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::symbols::Symbols;

pub use line::LineBuffer;
pub use ring::Ring;
use writer::{Message, Target};

/// Lines that can wait for the writer.
const CAPACITY: usize = 1024;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Exactly as the script printed it.
    Script,
    /// The stack of the script's line before it, by name.
    Stack,
    /// Something that the script's user should know, such as a division by zero.
    Notice,
}

/// A line of output, without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The vCPU that printed it.
    pub vcpu: u32,
    /// What it is.
    pub kind: LineKind,
    /// Its bytes; guests' strings need not be UTF-8.
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
    /// Writes lines and stacks to `out` and notices to `notices`.
    pub fn to_streams(
        out: Box<dyn Write + Send>,
        notices: Box<dyn Write + Send>,
        symbols: Option<Arc<Symbols>>,
    ) -> io::Result<Self> {
        Self::start(Target::Streams { out, notices }, symbols)
    }

    /// Calls `callback` with each line, in order, on the writer's thread.
    pub fn to_callback(
        callback: impl FnMut(OutputLine) + Send + 'static,
        symbols: Option<Arc<Symbols>>,
    ) -> io::Result<Self> {
        Self::start(Target::Callback(Box::new(callback)), symbols)
    }

    fn start(target: Target, symbols: Option<Arc<Symbols>>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let thread = thread::Builder::new()
            .name("probe-output".into())
            .spawn(move || writer::run(&receiver, target, symbols.as_deref()))?;
        Ok(Self { sender, thread: Some(thread) })
    }

    /// Where vCPUs print to. Sinks may outlive the output; then they print nowhere, and say so.
    pub fn sink(&self) -> Sink {
        Sink { sender: self.sender.clone() }
    }

    /// Writes all that was printed so far, flushes, and says whether all of it could be written.
    /// The machine must have stopped: what is printed later is lost.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // It fails if the writer has ended by itself; the join says why.
        let _ = self.sender.send(Message::Finish);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the output's callback panicked")))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Who wants to know about errors calls `finish`.
        let _ = self.end();
    }
}

/// The vCPUs' end of an [`Output`].
#[derive(Clone, Debug)]
pub struct Sink {
    sender: SyncSender<Message>,
}

impl Sink {
    /// Hands a line over, and waits while too many are under way; `false` if the output is gone.
    pub fn send(&self, line: OutputLine) -> bool {
        self.sender.send(Message::Line(line)).is_ok()
    }

    /// Hands over lines between which nobody else's come, such as an aggregate. Stacks in them are
    /// replaced by names where there are symbols.
    pub fn send_block(&self, lines: Vec<OutputLine>) -> bool {
        self.sender.send(Message::Block(lines)).is_ok()
    }
}

#[cfg(test)]
mod tests;
