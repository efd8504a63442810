//! Searches under control, where every interleaving is a choice, for a failure that was observed in
//! real time.

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use inspect::Symbols;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::{Host, MachineConfig};

use crate::finding::Finding;
use crate::hunt::{Hunt, Next, Progress, SearchEvent, hunt};
use crate::observed::{FailureSignature, ObservedFailure};
use crate::strategy::StrategySpec;

/// The limits of the search.
const RUNS: u64 = 20_000;
const TIME: Duration = Duration::from_secs(30);
const POINTS: u64 = 1_000_000;
/// If this number of runs were cut short and no run came to an end, further runs aren't expected to
/// end either.
const ENDLESS: u64 = 8;

/// The result of the search.
#[derive(Debug)]
pub struct Reproduction {
    /// A finding of the same failure.
    pub found: Option<Finding>,
    /// How many runs were made.
    pub runs: u64,
    /// How many runs were cut short because they came to no end.
    pub cut_short: u64,
    /// How long it took.
    pub time: Duration,
    /// Failures that weren't the same, by signature.
    pub others: Vec<Other>,
    /// What stopped the search early, if something did.
    pub stopped: Option<Stopped>,
}

/// Why a search was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The caller asked for it.
    Asked,
    /// No run came to an end.
    Endless,
}

/// Failures other than the one searched for, which have the same signature.
#[derive(Debug, JsonSchema, Serialize)]
pub struct Other {
    /// What failed, in words.
    pub failure: String,
    /// How many times it occurred.
    pub times: u64,
    /// The first such finding.
    #[serde(skip)]
    #[schemars(skip)]
    pub first: Finding,
}

/// The parameters of the search for a failure of this machine.
pub fn search(machine: &MachineConfig, seed: u64) -> Hunt {
    Hunt {
        machine: machine.clone(),
        strategy: StrategySpec::Portfolio,
        seed,
        runs: RUNS,
        time: Some(TIME),
        budget: POINTS,
        hang_budget: machine.granularity.hang_budget(),
        jobs: thread::available_parallelism().map_or(1, NonZero::get) as u32,
        keep_going: true,
        verify: false,
    }
}

/// Searches until a run fails in the same way. `tell` is called at intervals.
pub fn reproduce(
    host: &Host,
    search: &Hunt,
    symbols: Option<&Symbols>,
    (observed, signature): (&ObservedFailure, &FailureSignature),
    mut tell: impl FnMut(&Progress) -> Next,
) -> vmm::Result<Reproduction> {
    let begin = Instant::now();
    let (mut found, mut stopped) = (None, None);
    let mut others: Vec<(FailureSignature, Other)> = Vec::new();
    let searched = hunt(host, search, symbols, |progress, told| {
        if let SearchEvent::Failed(finding) = told {
            let its = finding.signature();
            if its == *signature {
                let observed = Some(observed.clone());
                found = Some(Finding { observed, ..finding.clone() });
                return Next::Stop;
            }
            let known = others.iter_mut().find(|(known, _)| *known == its);
            if let Some((_, other)) = known {
                other.times += 1;
            } else {
                let (failure, first) = (its.to_string(), finding.clone());
                others.push((its, Other { failure, times: 1, first }));
            }
        }
        if tell(progress) == Next::Stop {
            stopped = Some(Stopped::Asked);
        } else if progress.cut_short >= ENDLESS && progress.cut_short == progress.runs {
            stopped = Some(Stopped::Endless);
        }
        if stopped.is_some() { Next::Stop } else { Next::GoOn }
    })?;
    Ok(Reproduction {
        found,
        runs: searched.runs,
        cut_short: searched.cut_short,
        time: begin.elapsed(),
        others: others.into_iter().map(|(_, other)| other).collect(),
        stopped,
    })
}

#[cfg(test)]
#[path = "reproduce_tests.rs"]
mod tests;
