//! Strategies: they choose which enabled transition comes next.

mod lesson;
mod mixed;
mod pct;
mod simple;
mod uniform;
mod with_faults;

use std::fmt;
use std::str::FromStr;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vmm::controlled::Chooser;

use crate::schedule::Schedule;

pub use lesson::{Lesson, Method, Turn};
pub use mixed::Mixed;
pub use pct::Pct;
pub(crate) use pct::{ROUND as PCT_ROUND, ROUNDS as PCT_ROUNDS};
pub(crate) use simple::stay;
pub use simple::{Fixed, Random, RoundRobin};
pub use uniform::Uniform;
pub use with_faults::WithFaults;

/// Makes the decisions of the runs of a search, one run after the other.
pub trait Strategy: Chooser {
    /// Begins a new run. A strategy learns only from the rounds before, through the lesson, so a
    /// run doesn't depend on which other runs ended earlier.
    fn begin(&mut self, run: u64, lesson: &Lesson);
}

/// A strategy's name on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrategyKind {
    /// Each vCPU in turn: one schedule, which shows that the guest works at all.
    RoundRobin,
    /// All of the following methods; a method that still finds new interleavings gets more runs.
    #[default]
    Portfolio,
    /// Each enabled transition with the same probability.
    Random,
    /// Every interleaving with about the same probability (URW, ASPLOS 2025).
    Uniform,
    /// Random priorities with a few points at which they change (PCT, ASPLOS 2010).
    Pct,
    /// A schedule that the user gives.
    Schedule,
}

impl StrategyKind {
    const ALL: [Self; 6] =
        [Self::RoundRobin, Self::Portfolio, Self::Random, Self::Uniform, Self::Pct, Self::Schedule];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Portfolio => "portfolio",
            Self::Random => "random",
            Self::Uniform => "uniform",
            Self::Pct => "pct",
            Self::Schedule => "schedule",
        }
    }
}

/// A strategy and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrategySpec {
    /// [`StrategyKind::RoundRobin`].
    RoundRobin,
    /// [`StrategyKind::Portfolio`].
    Portfolio,
    /// [`StrategyKind::Random`].
    Random,
    /// [`StrategyKind::Uniform`].
    Uniform,
    /// [`StrategyKind::Pct`].
    Pct {
        /// The depth of the bugs that it searches for, at least 1.
        depth: u32,
    },
    /// [`StrategyKind::Schedule`].
    Schedule(Schedule),
}

impl StrategySpec {
    /// The strategy's kind.
    pub fn kind(&self) -> StrategyKind {
        match self {
            Self::RoundRobin => StrategyKind::RoundRobin,
            Self::Portfolio => StrategyKind::Portfolio,
            Self::Random => StrategyKind::Random,
            Self::Uniform => StrategyKind::Uniform,
            Self::Pct { .. } => StrategyKind::Pct,
            Self::Schedule(_) => StrategyKind::Schedule,
        }
    }

    /// The depth of the bugs that it searches for; `None` if the strategy has no depth.
    pub fn depth(&self) -> Option<u32> {
        match self {
            Self::Pct { depth } => Some(*depth),
            _ => None,
        }
    }

    /// Whether the strategy has more than one schedule.
    pub fn varies(&self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Schedule(_))
    }

    /// Makes the strategy for a search.
    pub fn make(&self, seed: u64, vcpus: u32) -> Box<dyn Strategy> {
        match self {
            Self::RoundRobin => Box::new(RoundRobin),
            Self::Portfolio | Self::Random | Self::Uniform | Self::Pct { .. } => {
                Box::new(WithFaults::new(Box::new(Mixed::new(seed, vcpus)), seed))
            }
            Self::Schedule(schedule) => Box::new(Fixed::new(schedule)),
        }
    }
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StrategyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| "give portfolio, random, uniform, pct, round-robin or schedule".into())
    }
}

/// The random stream of one run. Each run has its own, so any run can be reproduced alone.
fn stream(seed: u64, run: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(run);
    generator
}

/// A number below `count`, which is not 0.
fn below(generator: &mut ChaCha8Rng, count: u64) -> u64 {
    let wide = u128::from(generator.random::<u64>()) * u128::from(count);
    (wide >> 64) as u64
}
