//! Run after run, each another interleaving, until one fails.
//!
//! Run n is a function of the seed and n, and what comes of the runs is looked at in the order of
//! their numbers. So a search finds the same, however many of its runs are made at a time.

mod executor;
mod interleavings;
mod plan;
mod queue;
pub(crate) mod recorder;
mod search;
mod tree;
mod trial;

use std::collections::BTreeMap;
use std::time::Duration;

use vmm::MachineConfig;

use crate::finding::Finding;
use crate::replay::Divergence;
use crate::strategy::{Method, StrategySpec};

pub use search::hunt;

/// What to search, how, and for how long.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The guest and its machine.
    pub machine: MachineConfig,
    /// Who decides.
    pub strategy: StrategySpec,
    /// The seed of everything random.
    pub seed: u64,
    /// The most runs.
    pub runs: u64,
    /// No run begins after this long, and one that has begun is given up a second later.
    pub time: Option<Duration>,
    /// The most scheduling points a run.
    pub budget: u64,
    /// The most scheduling points that each vCPU may go on without any progress of the machine.
    pub hang_budget: u64,
    /// How many runs are made at a time, each by a thread with a machine of its own. At least 1.
    pub jobs: u32,
    /// Go on after a failure.
    pub keep_going: bool,
    /// Run every schedule a second time, and compare.
    pub verify: bool,
}

/// How far a search has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs so far.
    pub runs: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Different interleavings; above a million, an estimate.
    pub distinct: u64,
    /// How many runs there have been since one had an interleaving that was new.
    pub repeats: u64,
    /// Runs that ended quiet: every vCPU sleeps or was stopped, and nobody waits.
    pub quiet: u64,
    /// Every interleaving that there is has been run.
    pub exhausted: bool,
    /// Runs that were cut short: by their budget, or because a vCPU ran away.
    pub cut_short: u64,
    /// Where the vCPU was that ran last in them, and how often; at most [`PLACES`].
    pub cut_short_at: BTreeMap<String, u64>,
    /// Scheduling points of all runs.
    pub points: u64,
    /// Those at which two or more vCPUs could go on, or one could take an interrupt or not.
    pub choices: u64,
    /// The bytes of memory whose accesses are scheduling points, in whole pages; `None` if each
    /// instruction is one.
    pub watched: Option<u64>,
    /// What each method of the strategy has come to.
    pub methods: BTreeMap<Method, Tally>,
    /// The most decisions of a run that didn't fail, from where the strategy began to decide.
    pub longest: u64,
    /// Runs that came out differently the second time.
    pub diverged: u64,
    /// The sum of the runs' hashes, in whatever order they were made: two searches that made the
    /// same runs have the same.
    pub hashes: u64,
}

/// How many places of runs that were cut short are told one by one.
pub const PLACES: usize = 16;

/// What came of the runs of one method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Its runs.
    pub runs: u64,
    /// Those whose interleaving was new.
    pub new: u64,
    /// Those that failed.
    pub failed: u64,
    /// How many runs it has made since one was new.
    pub repeats: u64,
}

/// Whether a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does.
    GoOn,
    /// Somebody wants it to stop.
    Stop,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub enum SearchEvent<'a> {
    /// No run has ended for a while.
    Idle,
    /// A run like any other.
    Passed,
    /// A run failed.
    Failed(&'a Finding),
    /// This run came out differently the second time: no schedule describes it.
    Diverged(u64, &'a Divergence),
}
