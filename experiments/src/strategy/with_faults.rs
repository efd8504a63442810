//! A strategy that also lets faults strike.
//!
//! Which of the places where a fault can strike is taken is drawn before the run, with the same
//! probability for each: a place that comes late in the run is as likely as one that comes early.
//! What happens by itself is left to another strategy.

use rand_chacha::ChaCha8Rng;
use vmm::controlled::{Choice, Chooser, Point};

use super::{Lesson, Method, Strategy, below, stream};

/// How many places are assumed as long as no run has shown how many there are.
const ASSUMED: u64 = 8;
/// One run of this number is made without a fault, as far as this strategy decides.
const WITHOUT: u64 = 8;
/// The most faults that are drawn for a run.
const MOST: u64 = 8;
/// Keeps the random numbers apart from those of the other strategy.
const STREAM: u64 = 1 << 63;

/// Another strategy, and the places where faults strike.
pub struct WithFaults {
    inner: Box<dyn Strategy>,
    seed: u64,
    /// The numbers of the places where a fault strikes, the last one first.
    drawn: Vec<u64>,
    /// How many places there have been in this run.
    seen: u64,
}

impl WithFaults {
    /// Draws random numbers from this seed.
    pub fn new(inner: Box<dyn Strategy>, seed: u64) -> Self {
        Self { inner, seed, drawn: Vec::new(), seen: 0 }
    }

    /// The fault that strikes here, if one does.
    fn strikes(&mut self, point: &Point) -> Option<Choice> {
        let first = self.seen;
        self.seen += point.faults.len() as u64;
        let mut strikes = None;
        while let Some(place) = self.drawn.pop_if(|place| *place < self.seen) {
            // Two that were drawn for one point are one.
            strikes = point.faults.get(place.saturating_sub(first) as usize).copied();
        }
        strikes
    }
}

impl Chooser for WithFaults {
    fn choose(&mut self, point: &Point) -> Choice {
        let fault = if point.faults.is_empty() { None } else { self.strikes(point) };
        // The other strategy sees every point: it counts them.
        let choice = self.inner.choose(point);
        fault.unwrap_or(choice)
    }
}

impl Strategy for WithFaults {
    fn begin(&mut self, run: u64, lesson: &Lesson) {
        self.inner.begin(run, lesson);
        self.drawn.clear();
        self.seen = 0;
        // A systematic run takes the choices of its path.
        if lesson.turn(run).method == Method::Systematic {
            return;
        }
        let mut generator: ChaCha8Rng = stream(self.seed, run | STREAM);
        let places = if lesson.faults == 0 { ASSUMED } else { lesson.faults };
        let count = match below(&mut generator, WITHOUT) {
            0 => 0,
            // One fault in half of the runs, two in a quarter, and so on.
            _ => 1 + u64::from(below(&mut generator, 1 << MOST).trailing_zeros()).min(MOST - 1),
        };
        self.drawn = (0..count).map(|_| below(&mut generator, places)).collect();
        self.drawn.sort_unstable_by(|one, other| other.cmp(one));
    }
}

#[cfg(test)]
#[path = "with_faults_tests.rs"]
mod tests;
