//! Telling a vCPU that waits from one that gets on.
//!
//! A vCPU that comes back to a scheduling point with the same registers, having changed nothing
//! and having read only values that have not changed since, would do the same again: it waits for
//! one of those values. That is a heuristic: state that it keeps in private memory is not looked
//! at. So a hang is only called proven after `hang.rs` has compared the whole machine.

use std::collections::BTreeMap;

use super::polling::pause_after;
use crate::exit::Bytes;

/// What a vCPU has done since it last changed anything.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressTracker {
    /// The registers' hash at each scheduling point.
    points: Vec<u64>,
    /// What it read, by guest-physical address.
    reads: BTreeMap<u64, Bytes>,
    /// How often it looked at a clock.
    looks: u32,
    /// When it looks again, in virtual nanoseconds; it is passed over until then.
    looks_again: u64,
}

impl ProgressTracker {
    /// It changed something, or somebody else did that to it: it gets on.
    pub(super) fn clear(&mut self) {
        self.forget();
        (self.looks, self.looks_again) = (0, 0);
    }

    fn forget(&mut self) {
        self.points.clear();
        self.reads.clear();
    }

    /// It reads a clock now, in virtual nanoseconds.
    pub(super) fn look_at_clock(&mut self, now: u64) {
        self.looks = self.looks.saturating_add(1);
        self.looks_again = now.saturating_add(pause_after(self.looks));
    }

    /// When it looks at a clock again; in the past if it doesn't wait for time.
    pub(super) fn looks_again(&self) -> u64 {
        self.looks_again
    }

    /// Whether it has read a clock.
    pub(super) fn reads_clock(&self) -> bool {
        self.looks > 0
    }

    /// It read a value that it shares.
    pub(super) fn read(&mut self, address: u64, value: &Bytes) {
        let same = self.reads.get(&address).is_none_or(|before| before == value);
        if !same {
            self.clear();
        }
        self.reads.insert(address, value.clone());
    }

    /// It has come to a scheduling point with these registers. True if it has been there before and will
    /// do the same again; `longest` is how many points a loop may have that is recognised.
    pub(super) fn arrive(&mut self, registers: u64, longest: usize) -> bool {
        if self.points.contains(&registers) {
            // Time is no part of the registers, and may end the loop.
            return !self.reads_clock();
        }
        if self.points.len() == longest {
            self.forget();
        }
        self.points.push(registers);
        false
    }

    /// What it waits for: where, and the value that it keeps reading.
    pub(super) fn reads(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.reads.iter().map(|(address, value)| (*address, value))
    }

    /// Whether a change of these bytes concerns it.
    pub(super) fn watches(&self, address: u64, length: usize) -> bool {
        let end = address + length as u64;
        self.reads.iter().any(|(at, value)| *at < end && address < at + value.len() as u64)
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
