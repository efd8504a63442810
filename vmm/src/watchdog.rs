//! When to call a running guest hung.
//!
//! A guest is hung when, for the whole window, no vCPU left the guest by itself (so no byte came
//! to the console either) and every vCPU stayed inside the same few instructions. The first third
//! of the window only counts exits, which costs nothing; instruction pointers are sampled in the
//! rest, so a guest that lives is hardly ever disturbed.

use std::time::Duration;

/// The most different instruction pointers of a loop that counts as standing still.
pub const FEW: usize = 16;
/// How many samples a vCPU gives before it can be called stuck.
pub const SAMPLES: u32 = 40;
/// The shortest window: below it, a guest that merely computes would look stuck.
pub const MIN_WINDOW: Duration = Duration::from_millis(100);

/// What the watchdog wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nothing: the guest lives, or the window is young.
    Wait,
    /// Samples taken so far are void.
    Restart,
    /// A sample of every vCPU's instruction pointer.
    Sample,
    /// The end: the guest is hung.
    Hung,
}

/// Judges whether a guest is hung. It is asked at [`Watchdog::interval`].
#[derive(Debug)]
pub struct Watchdog {
    window: Duration,
    /// The exits at the latest sign of life, and when that was.
    activity: u64,
    alive: Duration,
}

impl Watchdog {
    /// A watchdog that waits this long for a sign of life.
    pub fn new(window: Duration) -> Self {
        Self { window: window.max(MIN_WINDOW), activity: 0, alive: Duration::ZERO }
    }

    /// How often to ask.
    pub fn interval(&self) -> Duration {
        // Two thirds of the window are for samples, and a few may come late.
        self.window * 2 / 3 / (SAMPLES + SAMPLES / 4)
    }

    /// The guest is kept from running: the window begins anew.
    pub fn postpone(&mut self, now: Duration) {
        self.alive = now;
    }

    /// Looks at the guest: `activity` is the number of exits that it made by itself so far,
    /// `samples` are the instruction pointers of each vCPU since the last [`Watch::Restart`].
    pub fn look(&mut self, now: Duration, activity: u64, samples: &[Vec<u64>]) -> Watch {
        if activity != self.activity || samples.iter().any(|rips| distinct(rips) > FEW) {
            self.activity = activity;
            self.alive = now;
            return Watch::Restart;
        }
        let quiet = now.saturating_sub(self.alive);
        let enough = samples.iter().all(|rips| rips.len() >= SAMPLES as usize);
        if quiet < self.window / 3 {
            Watch::Wait
        } else if quiet >= self.window && enough {
            Watch::Hung
        } else {
            Watch::Sample
        }
    }
}

fn distinct(rips: &[u64]) -> usize {
    let mut rips = rips.to_vec();
    rips.sort_unstable();
    rips.dedup();
    rips.len()
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
