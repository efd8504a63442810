//! The last lines of a vCPU, which are printed only if the guest hangs or crashes.
//!
//! Printing during the search for a race slows the guest down, and almost none of the output is of
//! interest. Keeping a line in the ring only takes a lock that is not contended. The lines are
//! printed after the machine has stopped, ordered by time.

use std::collections::VecDeque;
use std::time::Duration;

use super::line::timestamp;
use super::{LineKind, OutputLine};

/// A vCPU's last lines.
#[derive(Debug)]
pub struct Ring {
    vcpu: u32,
    lines: VecDeque<(Duration, Vec<u8>)>,
    /// The most lines that are kept.
    room: usize,
    bytes: usize,
}

impl Ring {
    /// The most bytes that are kept, even of fewer lines.
    pub const MAX_BYTES: usize = 4 << 20;

    /// An empty ring for `room` lines of vCPU `vcpu`.
    pub fn new(vcpu: u32, room: usize) -> Self {
        Self { vcpu, lines: VecDeque::new(), room, bytes: 0 }
    }

    /// Adds a line that was printed at `now`. The oldest lines are dropped if the ring is full.
    pub fn push(&mut self, now: Duration, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back((now, line));
        while self.lines.len() > self.room || self.bytes > Self::MAX_BYTES {
            let Some((_, gone)) = self.lines.pop_front() else { break };
            self.bytes -= gone.len();
        }
    }

    /// Removes all lines, and returns each with its time and vCPU.
    pub fn take(&mut self) -> Vec<(Duration, u32, Vec<u8>)> {
        self.bytes = 0;
        let vcpu = self.vcpu;
        self.lines.drain(..).map(|(now, line)| (now, vcpu, line)).collect()
    }

    /// Merges the lines of several rings by time, and puts its time and vCPU in front of each.
    pub fn merge(rings: impl Iterator<Item = Vec<(Duration, u32, Vec<u8>)>>) -> Vec<OutputLine> {
        let mut all: Vec<_> = rings.flatten().collect();
        // The sort is stable: lines with the same time and vCPU stay in their order.
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
