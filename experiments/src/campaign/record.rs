//! A run of a campaign, as it is recorded.

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
    /// Of a failure: the report as JSON, which is kept for some.
    pub report: Option<String>,
}
