//! The parameters of a round: how each of its runs is made, and what earlier rounds have shown.

use std::fmt;
use std::sync::Arc;

use vmm::controlled::Choice;

/// How the schedule of one run is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Each enabled transition with the same probability.
    Random,
    /// Every interleaving with about the same probability.
    Uniform,
    /// PCT, for bugs of this depth.
    Pct(u32),
    /// Goes to a decision that no run has made yet, and continues at random.
    Systematic,
    /// The strategy has only one schedule.
    Fixed,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Uniform => f.write_str("uniform"),
            Self::Pct(depth) => write!(f, "pct of depth {depth}"),
            Self::Systematic => f.write_str("systematic"),
            Self::Fixed => f.write_str("fixed"),
        }
    }
}

/// How one run of a round is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The method.
    pub method: Method,
    /// For [`Method::Systematic`]: which of the possible choices to take at each of the first
    /// points that have an alternative.
    pub path: Arc<[u8]>,
}

impl From<Method> for Turn {
    fn from(method: Method) -> Self {
        Self { method, path: Arc::from([]) }
    }
}

/// What a strategy gets to know at the start of a run: the method, and what earlier rounds have
/// shown. It is the same for all runs of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The first run of the round.
    pub first: u64,
    /// The first run after the round.
    pub end: u64,
    /// How the runs are made, by turns; never empty.
    pub turns: Vec<Turn>,
    /// PCT's k: the most choices (decisions that had an alternative) in a run that didn't fail.
    pub length: u64,
    /// The mean number of decisions in a run, for each vCPU and for each vCPU's interrupts.
    pub counts: Vec<(Choice, u64)>,
    /// The most choices in a run that let a fault strike.
    pub faults: u64,
    /// Whether the choices that a run makes should be recorded.
    pub wants_paths: bool,
}

impl Lesson {
    /// How this run is made.
    pub fn turn(&self, run: u64) -> &Turn {
        let number = run.saturating_sub(self.first) % self.turns.len() as u64;
        &self.turns[number as usize]
    }
}
