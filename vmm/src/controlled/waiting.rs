//! Distinguishes a vCPU that waits from one that makes progress.
//!
//! A vCPU that comes back to a scheduling point with the same registers, has changed nothing, and
//! has read only values that have not changed since, would do the same again: it waits for one of
//! these values to change. This is a heuristic: state in the vCPU's private memory is not examined.
//! So a hang is only called proven after `hang.rs` has compared the whole machine.

use std::collections::BTreeMap;

use super::polling::pause_after;
use crate::exit::Bytes;

/// Tracks what a vCPU has done since it last changed anything.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressTracker {
    /// A hash of the registers at each scheduling point.
    points: Vec<u64>,
    /// The values that it read, by guest-physical address.
    reads: BTreeMap<u64, Bytes>,
    /// The number of times that it read a clock.
    looks: u32,
    /// When it may read the clock again, in virtual nanoseconds; it is not scheduled until then.
    looks_again: u64,
}

impl ProgressTracker {
    /// Starts over: the vCPU changed something, or something changed for it.
    pub(super) fn clear(&mut self) {
        self.forget();
        (self.looks, self.looks_again) = (0, 0);
    }

    fn forget(&mut self) {
        self.points.clear();
        self.reads.clear();
    }

    /// Records that it reads a clock now, in virtual nanoseconds.
    pub(super) fn look_at_clock(&mut self, now: u64) {
        self.looks = self.looks.saturating_add(1);
        self.looks_again = now.saturating_add(pause_after(self.looks));
    }

    /// When it may read a clock again; in the past if it doesn't wait for time.
    pub(super) fn looks_again(&self) -> u64 {
        self.looks_again
    }

    /// Whether it has read a clock.
    pub(super) fn reads_clock(&self) -> bool {
        self.looks > 0
    }

    /// Records the read of a shared value.
    pub(super) fn read(&mut self, address: u64, value: &Bytes) {
        let same = self.reads.get(&address).is_none_or(|before| before == value);
        if !same {
            self.clear();
        }
        self.reads.insert(address, value.clone());
    }

    /// Records a scheduling point with these registers. True if the vCPU has been there before and
    /// will do the same again; `longest` is the number of points of the longest loop that is
    /// recognised.
    pub(super) fn arrive(&mut self, registers: u64, longest: usize) -> bool {
        if self.points.contains(&registers) {
            // The registers don't include the time, which may end the loop.
            return !self.reads_clock();
        }
        if self.points.len() == longest {
            self.forget();
        }
        self.points.push(registers);
        false
    }

    /// What it waits for: the addresses and values that it keeps reading.
    pub(super) fn reads(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.reads.iter().map(|(address, value)| (*address, value))
    }

    /// Whether it has read any of these bytes.
    pub(super) fn watches(&self, address: u64, length: usize) -> bool {
        let end = address + length as u64;
        self.reads.iter().any(|(at, value)| *at < end && address < at + value.len() as u64)
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
