//! Assembles the output of one vCPU into whole lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{LineKind, OutputLine, Ring, Sink};
use crate::aggregate::lock;

/// Buffers what a vCPU has printed until the line ends.
#[derive(Debug)]
pub struct LineBuffer {
    vcpu: u32,
    sink: Sink,
    partial: Vec<u8>,
    /// The ring that keeps the lines instead of printing them.
    ring: Option<Arc<Mutex<Ring>>>,
    now: Duration,
    /// Whether each line begins with its time and vCPU.
    timestamps: bool,
}

impl LineBuffer {
    /// The longest line in bytes. A longer line is split, so that a script that prints no newline
    /// doesn't use unbounded memory.
    pub const MAX_LINE: usize = 64 << 10;

    /// The buffer of vCPU `vcpu`.
    pub fn new(vcpu: u32, sink: Sink) -> Self {
        Self { vcpu, sink, partial: Vec::new(), ring: None, now: Duration::ZERO, timestamps: false }
    }

    /// A buffer whose lines are kept in `ring`. Notices still go to `sink`.
    pub fn with_ring(vcpu: u32, sink: Sink, ring: Arc<Mutex<Ring>>) -> Self {
        let mut buffer = Self::new(vcpu, sink);
        buffer.ring = Some(ring);
        buffer
    }

    /// Puts the time and the vCPU in front of each line, as in the lines of a ring.
    #[must_use]
    pub fn with_timestamps(mut self) -> Self {
        self.timestamps = true;
        self
    }

    /// Sets the time of the machine at which the following output is printed.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Prints; `false` if the output is closed.
    pub fn print(&mut self, bytes: &[u8]) -> bool {
        let mut here = true;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match piece {
                [text @ .., b'\n'] => (text, true),
                text => (text, false),
            };
            if self.timestamps && self.partial.is_empty() {
                self.partial = timestamp(self.now, self.vcpu);
            }
            self.partial.extend_from_slice(text);
            if ended || self.partial.len() >= Self::MAX_LINE {
                here &= self.send_partial();
            }
        }
        here
    }

    /// Prints lines that must stay together, after everything that was printed before.
    pub fn block(&mut self, lines: Vec<Vec<u8>>) -> bool {
        self.flush();
        if self.ring.is_some() {
            let mut here = true;
            for line in lines {
                self.partial = line;
                here &= self.send_partial();
            }
            return here;
        }
        let line = |bytes| OutputLine { vcpu: self.vcpu, kind: LineKind::Script, bytes };
        self.sink.send_block(lines.into_iter().map(line).collect())
    }

    /// Sends a message to the user, apart from the script's own output.
    pub fn notice(&self, text: String) {
        let bytes = text.into_bytes();
        // If the output is closed, the message is lost.
        let _ = self.sink.send(OutputLine { vcpu: self.vcpu, kind: LineKind::Notice, bytes });
    }

    /// Ends the current line, if it has no newline yet.
    pub fn flush(&mut self) {
        if !self.partial.is_empty() {
            self.send_partial();
        }
    }

    fn send_partial(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.partial);
        match &self.ring {
            Some(ring) => {
                lock(ring).push(self.now, bytes);
                true
            }
            None => self.sink.send(OutputLine { vcpu: self.vcpu, kind: LineKind::Script, bytes }),
        }
    }
}

/// The prefix of a line: its time in the machine, and its vCPU.
pub(super) fn timestamp(now: Duration, vcpu: u32) -> Vec<u8> {
    format!("[{:12.6} vCPU {vcpu}] ", now.as_secs_f64()).into_bytes()
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
