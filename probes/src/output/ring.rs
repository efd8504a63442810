//! The last lines of a vCPU, kept for the case that the guest hangs or dies.
//!
//! Printing while a race is looked for slows the guest down, and almost all of it is of no
//! interest. The ring costs a lock that nobody else wants, and what is in it is printed after the
//! machine has stopped, in the order of time.

use std::collections::VecDeque;
use std::time::Duration;

use super::line::timestamp;
use super::{LineKind, OutputLine};

/// A vCPU's last lines.
#[derive(Debug)]
pub struct Ring {
    vcpu: u32,
    lines: VecDeque<(Duration, Vec<u8>)>,
    /// The most lines.
    room: usize,
    bytes: usize,
}

impl Ring {
    /// The most bytes that are kept, however few the lines.
    pub const MAX_BYTES: usize = 4 << 20;

    /// An empty ring for `room` lines of vCPU `vcpu`.
    pub fn new(vcpu: u32, room: usize) -> Self {
        Self { vcpu, lines: VecDeque::new(), room, bytes: 0 }
    }

    /// Keeps a line of this time; the oldest go where there is no room.
    pub fn push(&mut self, now: Duration, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back((now, line));
        while self.lines.len() > self.room || self.bytes > Self::MAX_BYTES {
            let Some((_, gone)) = self.lines.pop_front() else { break };
            self.bytes -= gone.len();
        }
    }

    /// All lines, each with its time and vCPU; the ring is empty then.
    pub fn take(&mut self) -> Vec<(Duration, u32, Vec<u8>)> {
        self.bytes = 0;
        let vcpu = self.vcpu;
        self.lines.drain(..).map(|(now, line)| (now, vcpu, line)).collect()
    }

    /// The lines of several rings in the order of time, each with its time and vCPU in front.
    pub fn merge(rings: impl Iterator<Item = Vec<(Duration, u32, Vec<u8>)>>) -> Vec<OutputLine> {
        let mut all: Vec<_> = rings.flatten().collect();
        // A stable sort: lines of one moment and vCPU stay in their order.
        all.sort_by_key(|(now, vcpu, _)| (*now, *vcpu));
        all.into_iter()
            .map(|(now, vcpu, line)| {
                let mut bytes = timestamp(now, vcpu);
                bytes.extend_from_slice(&line);
                OutputLine { vcpu, kind: LineKind::Script, bytes }
            })
            .collect()
    }
}
