//! Makes run after run, each with another interleaving, until one fails.
//!
//! Run n is a function of the seed and n, and the results of runs are taken in the order of their
//! numbers. So a search finds the same failures however many runs are made in parallel.

mod builder;
mod executor;
mod failed;
pub(crate) mod fault_effects;
mod interleavings;
mod plan;
mod queue;
pub(crate) mod recorder;
mod search;
mod sweep;
mod tree;
mod trial;

use std::collections::BTreeMap;
use std::time::Duration;

use vmm::MachineConfig;

use crate::finding::Finding;
use crate::replay::Divergence;
use crate::strategy::{Method, StrategySpec};

pub use builder::{HuntBuilder, HuntError, Searched};
pub use search::hunt;
pub use sweep::{SweepEvent, Swept, sweep};

/// What to search, how, and for how long.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The guest and its machine.
    pub machine: MachineConfig,
    /// How the next transition is chosen.
    pub strategy: StrategySpec,
    /// The seed of all random decisions.
    pub seed: u64,
    /// The maximum number of runs.
    pub runs: u64,
    /// No run begins after this time, and a run that is still going one second later is abandoned.
    pub time: Option<Duration>,
    /// The maximum number of scheduling points of one run.
    pub budget: u64,
    /// The hang budget: for how many scheduling points each vCPU may go on without any progress of
    /// the machine.
    pub hang_budget: u64,
    /// How many runs are made in parallel, each by a thread with a machine of its own. At least 1.
    pub jobs: u32,
    /// Whether the search continues after a failure.
    pub keep_going: bool,
    /// Whether every schedule is run a second time and the two runs are compared.
    pub verify: bool,
}

/// How far a search has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs so far.
    pub runs: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Different interleavings. Above a million this is an estimate.
    pub distinct: u64,
    /// Runs since the last one whose interleaving was new.
    pub repeats: u64,
    /// Runs that ended quiet: every vCPU sleeps or was stopped, and no vCPU waits for a change.
    pub quiet: u64,
    /// Whether every possible interleaving has been run.
    pub exhausted: bool,
    /// Runs that were cut short: by their budget, or because a vCPU was a runaway.
    pub cut_short: u64,
    /// For the runs that were cut short: where the last vCPU to run was, and in how many runs. At
    /// most [`PLACES`] places are listed separately.
    pub cut_short_at: BTreeMap<String, u64>,
    /// Scheduling points in all runs.
    pub points: u64,
    /// Scheduling points with an alternative: two or more vCPUs could go on, or one vCPU could take
    /// an interrupt or not.
    pub choices: u64,
    /// The bytes of memory in which each access is a scheduling point, in whole pages; `None` if
    /// each instruction is a scheduling point.
    pub watched: Option<u64>,
    /// For each of the machine's faults, in their order: in how many runs it could have struck, and
    /// in how many it did.
    pub faults: Vec<FaultTally>,
    /// The results of each method of the strategy.
    pub methods: BTreeMap<Method, Tally>,
    /// The most decisions in a run that didn't fail, counted from where the strategy began to
    /// decide.
    pub longest: u64,
    /// Runs that came out differently when they were repeated.
    pub diverged: u64,
    /// The sum of the runs' hashes, which doesn't depend on the order of the runs: two searches
    /// that made the same runs have the same sum.
    pub hashes: u64,
}

/// How often a fault could have struck, and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultTally {
    /// Runs in which it could have struck.
    pub possible: u64,
    /// Runs in which it struck.
    pub struck: u64,
}

/// How many places of runs that were cut short are listed separately.
pub const PLACES: usize = 16;

/// The results of the runs of one method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs of the method.
    pub runs: u64,
    /// Runs whose interleaving was new.
    pub new: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs since the last one whose interleaving was new.
    pub repeats: u64,
}

/// Whether a search continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It continues.
    GoOn,
    /// The caller wants it to stop.
    Stop,
}

/// What a search reports to its caller.
#[derive(Clone, Copy, Debug)]
pub enum SearchEvent<'a> {
    /// No run has ended for a while.
    Idle,
    /// A run ended without a failure.
    Passed,
    /// A run failed.
    Failed(&'a Finding),
    /// The run with this number came out differently when it was repeated: no schedule describes
    /// it.
    Diverged(u64, &'a Divergence),
}
