//! Collects the results of all boots of one command, in bounded memory.

use probes::engine::Changes;
use vmm::jitter::Injections;
use vmm::watchpoints::WatchReport;

use crate::fault_counts::{self, FaultCount};
use crate::report::RunReport;
use crate::scripts::ProbeSums;
use crate::tell;

/// The size of the reports that are kept, in bytes; reports of failures may take the same again.
const MAX_REPORT_BYTES: usize = 64 << 20;
/// The maximum number of failures that are listed at the end.
const MAX_LISTED: usize = 100;

/// Which reports are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// There is only one run: its report is kept in full.
    One,
    /// There are many runs: all reports are kept while there is room, without the details of runs
    /// that passed.
    All,
    /// There are many runs: the report of the first failure is kept.
    FirstFailure,
}

/// The results of all boots.
pub(crate) struct Boots {
    keep: Keep,
    /// The reports that are kept, in order.
    pub(crate) reports: Vec<RunReport>,
    /// Runs that reached their end.
    pub(crate) count: u64,
    pub(crate) failed: u64,
    /// Reports that were not kept, because there was no room.
    pub(crate) left_out: u64,
    /// How long the guests ran in total, in seconds.
    pub(crate) seconds: f64,
    pub(crate) guest_exits: u64,
    pub(crate) injected: Injections,
    pub(crate) faults: Vec<FaultCount>,
    pub(crate) changes: Changes,
    /// What watching the guest's data could not tell.
    pub(crate) watched: WatchReport,
    pub(crate) probes: ProbeSums,
    /// Whether a search under control could find one of the failures.
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
            faults: Vec::new(),
            changes: Changes::default(),
            watched: WatchReport::default(),
            probes: ProbeSums::default(),
            can_be_sought: false,
            failures: Vec::new(),
            room: 2 * MAX_REPORT_BYTES,
        }
    }

    /// Adds a run that has ended.
    pub(crate) fn add(&mut self, run: RunReport) {
        self.count += 1;
        self.seconds += run.seconds();
        self.guest_exits += run.guest_exits();
        self.injected.add(run.injections());
        fault_counts::add(&mut self.faults, run.faults());
        self.changes.add(run.changes());
        run.watched().for_each(|watched| self.watched.add(watched));
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

    /// Prints a summary of a repeated run.
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
