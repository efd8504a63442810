//! One vCPU's output on its way to whole lines.

use super::{LineKind, OutputLine, Sink};

/// Keeps what a vCPU has printed until its newline comes.
#[derive(Debug)]
pub struct LineBuffer {
    vcpu: u32,
    sink: Sink,
    partial: Vec<u8>,
}

impl LineBuffer {
    /// A script that never prints a newline doesn't get all of our memory: a line is cut here.
    pub const MAX_LINE: usize = 64 << 10;

    /// The buffer of vCPU `vcpu`.
    pub fn new(vcpu: u32, sink: Sink) -> Self {
        Self { vcpu, sink, partial: Vec::new() }
    }

    /// Prints; `false` if the output is gone.
    pub fn print(&mut self, bytes: &[u8]) -> bool {
        let mut here = true;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match piece {
                [text @ .., b'\n'] => (text, true),
                text => (text, false),
            };
            self.partial.extend_from_slice(text);
            if ended || self.partial.len() >= Self::MAX_LINE {
                here &= self.send_partial();
            }
        }
        here
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
        self.sink.send(OutputLine { vcpu: self.vcpu, kind: LineKind::Script, bytes })
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
