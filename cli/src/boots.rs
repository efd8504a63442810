//! What the boots of one command have come to, in bounded memory.

use probes::engine::Changes;
use vmm::jitter::Injections;

use crate::report::RunReport;
use crate::scripts::ProbeSums;
use crate::tell;

/// The room for reports of runs that are kept; one that fails may take as much again.
const MAX_REPORT_BYTES: usize = 64 << 20;
/// Failures that are listed at the end.
const MAX_LISTED: usize = 100;

/// Which reports are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// That of the only run, in full.
    One,
    /// Of many: all as long as there is room, and what is of no interest in a long list is left out.
    All,
    /// Of many: the first that failed.
    FirstFailure,
}

/// All of them.
pub(crate) struct Boots {
    keep: Keep,
    /// What is kept of them, in their order.
    pub(crate) reports: Vec<RunReport>,
    /// Runs that came to their end.
    pub(crate) count: u64,
    pub(crate) failed: u64,
    /// Reports for which there was no room.
    pub(crate) left_out: u64,
    /// How long the guests ran, in seconds.
    pub(crate) seconds: f64,
    pub(crate) guest_exits: u64,
    pub(crate) injected: Injections,
    pub(crate) changes: Changes,
    pub(crate) probes: ProbeSums,
    /// Whether a search under control may find something like one of the failures.
    pub(crate) can_be_sought: bool,
    failures: Vec<String>,
    room: usize,
}

impl Boots {
    pub(crate) fn new(keep: Keep) -> Self {
        Self {
            keep,
            reports: Vec::new(),
            count: 0,
            failed: 0,
            left_out: 0,
            seconds: 0.0,
            guest_exits: 0,
            injected: Injections::default(),
            changes: Changes::default(),
            probes: ProbeSums::default(),
            can_be_sought: false,
            failures: Vec::new(),
            room: 2 * MAX_REPORT_BYTES,
        }
    }

    /// Adds one that is over.
    pub(crate) fn add(&mut self, run: RunReport) {
        self.count += 1;
        self.seconds += run.seconds();
        self.guest_exits += run.guest_exits();
        self.injected.add(run.injections());
        self.changes.add(run.changes());
        self.probes.add(run.probes());
        self.can_be_sought |= run.can_be_sought();
        if run.failed() {
            self.failed += 1;
            if self.failures.len() < MAX_LISTED {
                let (seed, seconds) = (run.seed(), run.seconds());
                let line = format!("  seed {seed}: {}, after {seconds:.3} s", run.description());
                self.failures.push(line);
            }
        }
        match self.keep {
            Keep::One => self.reports.push(run),
            Keep::All => self.keep_in_room(run.brief()),
            Keep::FirstFailure if run.failed() && self.failed == 1 => self.reports.push(run),
            Keep::FirstFailure => {}
        }
    }

    fn keep_in_room(&mut self, run: RunReport) {
        let reserved = if run.failed() { 0 } else { MAX_REPORT_BYTES };
        match self.room.checked_sub(run.size()).filter(|left| *left >= reserved) {
            Some(left) => {
                self.room = left;
                self.reports.push(run);
            }
            None => self.left_out += 1,
        }
    }

    /// Sums up a repeated run for the user.
    pub(crate) fn summarise(&self, seconds: f64, interrupted: bool) {
        tell::user(&format!(
            "jitterbug: {}{} of {} runs failed, in {seconds:.1} s",
            if interrupted { "interrupted: " } else { "" },
            self.failed,
            self.count
        ));
        self.failures.iter().for_each(|line| tell::user(line));
        if let Some(more @ 1..) = self.failed.checked_sub(self.failures.len() as u64) {
            tell::user(&format!("  and {more} more"));
        }
    }
}

#[cfg(test)]
#[path = "boots_tests.rs"]
mod tests;
