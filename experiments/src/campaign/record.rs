//! What a campaign records: the rows of its tables.

use super::survival::Outcome;

/// The name of the result of a run that reached the time limit.
const TIME_LIMIT: &str = "time-limit";

/// A run that came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// The number of its cell, from 0.
    pub cell: usize,
    /// Its seed.
    pub seed: u64,
    /// How it ended, in one word.
    pub result: String,
    /// How it ended, in a phrase.
    pub description: String,
    /// Whether this is a failure.
    pub failed: bool,
    /// Of a failure: its kind. Failures of one kind look the same.
    pub kind: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many times vCPUs exited from the guest.
    pub guest_exits: u64,
    /// The number of delays that jitter injected.
    pub injections: u64,
    /// The sum of these delays, in seconds.
    pub injected_seconds: f64,
    /// How often each of the machine's faults struck.
    pub faults: Vec<FaultRecord>,
    /// Of a failure: the report as JSON, which is kept for some.
    pub report: Option<String>,
}

impl RunRecord {
    /// How it ended, for the time to failure.
    pub fn outcome(&self) -> Outcome {
        if self.failed {
            Outcome::Failed
        } else if self.is_limited() {
            Outcome::Limited
        } else {
            Outcome::Passed
        }
    }

    /// Whether it reached the time limit.
    pub(super) fn is_limited(&self) -> bool {
        self.result == TIME_LIMIT
    }
}

/// How often a fault struck in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRecord {
    /// The fault, as `--fault` takes it.
    pub fault: String,
    /// How often it had an occasion.
    pub matched: u64,
    /// How often it struck.
    pub struck: u64,
}

/// A time at which the campaign is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(pub(super) i64);

/// A row of the table of sessions.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The part that was worked on.
    pub shard: String,
    /// Machines side by side.
    pub jobs: u32,
    /// How long it took.
    pub seconds: f64,
    /// How it ended; `None` if it goes on or was killed.
    pub ended: Option<String>,
    /// The build of the program that did the work.
    pub build: String,
    /// The number of runs that were recorded.
    pub runs: u64,
}

/// The builds of the program that made runs, in their order, and how many runs each has made.
pub fn builds(sessions: &[SessionRow]) -> Vec<(String, u64)> {
    let mut builds: Vec<(String, u64)> = Vec::new();
    for session in sessions.iter().filter(|session| session.runs > 0) {
        match builds.iter_mut().find(|(build, _)| *build == session.build) {
            Some((_, runs)) => *runs += session.runs,
            None => builds.push((session.build.clone(), session.runs)),
        }
    }
    builds
}

/// A kept report.
#[derive(Clone, Debug)]
pub struct KeptRow {
    /// The cell.
    pub cell: usize,
    /// The seed.
    pub seed: u64,
    /// The failure's kind.
    pub kind: String,
    /// The report, as JSON.
    pub report: String,
}
