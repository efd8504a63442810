//! URW, a uniform random walk over interleavings (Zhao, Wolff, Mathur, Roychoudhury: "Selectively
//! Uniform Concurrency Testing", ASPLOS 2025).
//!
//! Among threads that each have a known number of events left, the next event is drawn with a
//! probability in proportion to the number its thread has left. Each interleaving is then equally
//! likely, whereas a plain random walk almost never lets one thread get far ahead.
//!
//! The number of events of each thread is the mean over the rounds before. It is exact for vCPUs
//! that never wait. Where it is not exact, the walk is biased, but every interleaving is still
//! possible. Taking interrupts counts as a thread of its own.

use rand_chacha::ChaCha8Rng;
use vmm::controlled::{Choice, Chooser, Point};

use super::{below, stream};

/// The URW scheduler.
#[derive(Debug)]
pub struct Uniform {
    seed: u64,
    generator: ChaCha8Rng,
    left: Vec<(Choice, u64)>,
}

impl Uniform {
    /// Draws random numbers from this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, generator: stream(seed, 0), left: Vec::new() }
    }

    /// Begins a new run. `counts` is the expected number of decisions for each choice.
    pub fn start(&mut self, run: u64, counts: &[(Choice, u64)]) {
        self.generator = stream(self.seed, run);
        self.left.clear();
        self.left.extend_from_slice(counts);
    }

    /// The number of decisions that this choice has left: at least 1, because it is enabled.
    fn left(&self, choice: Choice) -> u64 {
        let found = self.left.iter().find(|(other, _)| *other == choice);
        found.map_or(1, |(_, left)| (*left).max(1))
    }

    fn draw(&mut self, point: &Point) -> Choice {
        if let [only] = point.enabled {
            return *only;
        }
        let all: u64 = point.enabled.iter().map(|choice| self.left(*choice)).sum();
        let mut drawn = below(&mut self.generator, all);
        for choice in point.enabled {
            let left = self.left(*choice);
            if drawn < left {
                return *choice;
            }
            drawn -= left;
        }
        point.enabled[0]
    }
}

impl Chooser for Uniform {
    fn choose(&mut self, point: &Point) -> Choice {
        let choice = self.draw(point);
        if let Some((_, left)) = self.left.iter_mut().find(|(other, _)| *other == choice) {
            *left = left.saturating_sub(1);
        }
        choice
    }
}

#[cfg(test)]
#[path = "uniform_tests.rs"]
mod tests;
