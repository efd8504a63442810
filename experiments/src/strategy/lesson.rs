//! What the runs of a round are told.

use std::fmt;
use std::sync::Arc;

use vmm::controlled::Choice;

/// How the schedule of one run is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Any of what is possible, with the same probability.
    Random,
    /// Every interleaving with about the same probability.
    Uniform,
    /// PCT, for bugs of this depth.
    Pct(u32),
    /// To a decision that no run has made yet, and on at random.
    Systematic,
    /// The strategy has only this one way.
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
    /// [`Method::Systematic`]: which of the possible choices to take, at each of the first points
    /// that have an alternative.
    pub path: Arc<[u8]>,
}

impl From<Method> for Turn {
    fn from(method: Method) -> Self {
        Self { method, path: Arc::from([]) }
    }
}

/// What a run is told: who decides, and what the rounds before have shown. All runs of a round are
/// told the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// The first run of the round.
    pub first: u64,
    /// The first run behind it.
    pub end: u64,
    /// How its runs are made, by turns; never empty.
    pub turns: Vec<Turn>,
    /// PCT's k: the most choices (decisions that had an alternative) in a run that didn't fail.
    pub length: u64,
    /// How many decisions are made for each vCPU, and for each vCPU's interrupts, in a run.
    pub counts: Vec<(Choice, u64)>,
    /// Whether it is of use to know which choices a run has made.
    pub wants_paths: bool,
}

impl Lesson {
    /// How this run is made.
    pub fn turn(&self, run: u64) -> &Turn {
        let number = run.saturating_sub(self.first) % self.turns.len() as u64;
        &self.turns[number as usize]
    }
}
