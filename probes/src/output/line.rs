//! One vCPU's output on its way to whole lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{LineKind, OutputLine, Ring, Sink};
use crate::aggregate::lock;

/// Keeps what a vCPU has printed until its newline comes.
#[derive(Debug)]
pub struct LineBuffer {
    vcpu: u32,
    sink: Sink,
    partial: Vec<u8>,
    /// Where lines are kept instead of being printed.
    ring: Option<Arc<Mutex<Ring>>>,
    now: Duration,
    /// Whether lines have their time and vCPU in front.
    timestamps: bool,
}

impl LineBuffer {
    /// A script that never prints a newline doesn't get all of our memory: a line is cut here.
    pub const MAX_LINE: usize = 64 << 10;

    /// The buffer of vCPU `vcpu`.
    pub fn new(vcpu: u32, sink: Sink) -> Self {
        Self { vcpu, sink, partial: Vec::new(), ring: None, now: Duration::ZERO, timestamps: false }
    }

    /// One whose lines are kept in `ring`; notices still go to `sink`.
    pub fn with_ring(vcpu: u32, sink: Sink, ring: Arc<Mutex<Ring>>) -> Self {
        let mut buffer = Self::new(vcpu, sink);
        buffer.ring = Some(ring);
        buffer
    }

    /// The same with the time and the vCPU in front of each line, as those of a ring have them.
    #[must_use]
    pub fn with_timestamps(mut self) -> Self {
        self.timestamps = true;
        self
    }

    /// What is printed from now on is printed at this time of the machine.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Prints; `false` if the output is gone.
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

    /// Prints lines that belong together, behind what was printed before.
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

    /// Says something to the user beside the script's own output.
    pub fn notice(&self, text: String) {
        let bytes = text.into_bytes();
        // If the output is gone, nobody is there to be told.
        let _ = self.sink.send(OutputLine { vcpu: self.vcpu, kind: LineKind::Notice, bytes });
    }

    /// Ends the line that has no newline, if there is one.
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

/// What stands in front of a line: its time in the machine, and its vCPU.
pub(super) fn timestamp(now: Duration, vcpu: u32) -> Vec<u8> {
    format!("[{:12.6} vCPU {vcpu}] ", now.as_secs_f64()).into_bytes()
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
