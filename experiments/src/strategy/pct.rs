//! PCT: probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A
//! randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
//!
//! Every vCPU has a random priority, and the highest that can run does. At d-1 points, drawn from
//! the length of a run, the priority of the vCPU that runs drops below all others. A bug of depth d
//! is then found with a probability of at least 1/(n k^(d-1)), for n vCPUs and k points.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use vmm::controlled::{Choice, Chooser, Point};

use super::{Strategy, below, stream};

/// A vCPU that goes on for so many points by itself is taken for a spinning one that the waiting
/// rule didn't recognise (a counter in its loop), and lowered, or nothing would ever end.
const SPINNING: u64 = 10_000;

/// So many runs of depth 1, each with other priorities, tell how long a run is.
pub(super) const TRIALS: u64 = 8;

/// What has a priority: a vCPU, or the delivery of its interrupt, which is a thread of its own.
type Actor = Choice;

/// The strategy.
#[derive(Debug)]
pub struct Pct {
    seed: u64,
    vcpus: u32,
    depth: u32,
    generator: ChaCha8Rng,
    priorities: BTreeMap<Actor, u64>,
    /// Points at which the priority drops, in ascending order.
    changes: Vec<u64>,
    /// The priority that the next drop gives: below all before.
    lowest: u64,
    /// How many decisions there were in this run.
    decisions: u64,
    /// Who runs, and for how many points in a row.
    streak: (Option<Actor>, u64),
}

/// Initial priorities are drawn from above this, drops count down from it.
const MIDDLE: u64 = 1 << 32;

impl Pct {
    /// Looks for bugs of this depth.
    pub fn new(seed: u64, vcpus: u32, depth: u32) -> Self {
        Self {
            seed,
            vcpus,
            depth,
            generator: stream(seed, 0),
            priorities: BTreeMap::new(),
            changes: Vec::new(),
            lowest: MIDDLE,
            decisions: 0,
            streak: (None, 0),
        }
    }

    fn priority(&mut self, actor: Actor) -> u64 {
        let generator = &mut self.generator;
        *self.priorities.entry(actor).or_insert_with(|| MIDDLE + 1 + below(generator, MIDDLE))
    }

    fn lower(&mut self, actor: Actor) {
        self.lowest -= 1;
        self.priorities.insert(actor, self.lowest);
    }

    fn highest(&mut self, point: &Point) -> Actor {
        let mut best = (0, point.enabled[0]);
        for actor in point.enabled {
            let priority = self.priority(*actor);
            if priority > best.0 {
                best = (priority, *actor);
            }
        }
        best.1
    }
}

impl Chooser for Pct {
    fn choose(&mut self, point: &Point) -> Choice {
        let mut actor = self.highest(point);
        while self.changes.first().is_some_and(|change| *change <= self.decisions) {
            self.changes.remove(0);
            self.lower(actor);
            actor = self.highest(point);
        }
        self.decisions += 1;
        let (last, points) = self.streak;
        self.streak = if last == Some(actor) { (last, points + 1) } else { (Some(actor), 1) };
        if self.streak.1 > SPINNING {
            self.streak = (None, 0);
            self.lower(actor);
        }
        actor
    }
}

impl Strategy for Pct {
    fn begin(&mut self, run: u64, length: u64) {
        self.generator = stream(self.seed, run);
        self.priorities.clear();
        (self.lowest, self.decisions) = (MIDDLE, 0);
        self.streak = (None, 0);
        // Drawn now, in the order of their numbers, so that they don't depend on who is enabled.
        for vcpu in 0..self.vcpus {
            self.priority(Choice::Step(vcpu));
        }
        let changes = if length == 0 { 1 } else { self.depth };
        self.changes = (1..changes).map(|_| below(&mut self.generator, length)).collect();
        self.changes.sort_unstable();
    }
}

#[cfg(test)]
#[path = "pct_tests.rs"]
mod tests;
