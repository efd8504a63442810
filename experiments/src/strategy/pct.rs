//! PCT: probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A
//! randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
//!
//! Every vCPU has a random priority, and the enabled vCPU with the highest priority runs. At d-1
//! points, drawn from the length of a run, the priority of the vCPU that is about to run drops
//! below all initial priorities. A bug of depth d is then found with a probability of at least
//! 1/(n k^(d-1)), for n vCPUs and k points. Some details matter for this guarantee:
//!
//! * The i-th draw drops to the i-th lowest priority, wherever in the run it lies. If each drop
//!   went below the one before, a bug would never be found in which the vCPU that was preempted
//!   second has to continue first.
//! * Points without an alternative are not counted. A change at such a point has no effect before
//!   the next point that has one, so the guarantee holds, with a smaller k.
//! * k is the most points in a run with *one change less*: the last change comes after at most that
//!   many points. It is learnt in rounds: of depth 1, then of depth 2, and so on.
//! * A waiting vCPU can't run, and is passed over. Taking a pending interrupt is an actor of its
//!   own, with its own priority; what the handler then does belongs to its vCPU.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use vmm::controlled::{Choice, Chooser, Point};

use super::{below, stream};

/// A vCPU that goes on alone for this many points is assumed to be spinning in a loop that the
/// waiting rule didn't recognise (because the loop counts, for example). Its priority drops,
/// because otherwise the run would never end.
const SPINNING: u64 = 10_000;

/// How many runs of each lesser depth are made to learn the length of a run. With two vCPUs, the
/// probability that all of them begin with the same vCPU is 2^-15.
pub(crate) const ROUND: u64 = 16;

/// How many lesser depths get such a round: runs with more changes than this are hardly longer.
pub(crate) const ROUNDS: u64 = 4;

/// What has a priority: a vCPU, or the delivery of its interrupt, which is an actor of its own.
type Actor = Choice;

/// The PCT scheduler.
#[derive(Debug)]
pub struct Pct {
    seed: u64,
    vcpus: u32,
    generator: ChaCha8Rng,
    priorities: BTreeMap<Actor, u64>,
    /// The choices at which a priority drops, last one first, and the priority that it drops to.
    changes: Vec<(u64, u64)>,
    /// The priority of the last spinning vCPU that was lowered, below all priorities given before.
    lowest: u64,
    /// How many choices there have been in this run.
    choices: u64,
    /// The actor that ran last, and for how many points in a row.
    streak: (Option<Actor>, u64),
}

/// Initial priorities are drawn from above this value; the priorities of changes are just below it.
const MIDDLE: u64 = 1 << 32;
/// The priorities of spinning vCPUs count down from here.
const LOW: u64 = 1 << 31;

impl Pct {
    /// Draws random numbers from this seed.
    pub fn new(seed: u64, vcpus: u32) -> Self {
        Self {
            seed,
            vcpus,
            generator: stream(seed, 0),
            priorities: BTreeMap::new(),
            changes: Vec::new(),
            lowest: LOW,
            choices: 0,
            streak: (None, 0),
        }
    }

    /// Begins a run that searches for a bug of this depth. `length` is the number of choices in a
    /// run with one change less.
    pub fn start(&mut self, run: u64, depth: u32, length: u64) {
        self.generator = stream(self.seed, run);
        self.priorities.clear();
        (self.lowest, self.choices) = (LOW, 0);
        self.streak = (None, 0);
        // Drawn here, in the order of the vCPUs' numbers, so that they don't depend on what is
        // enabled.
        for vcpu in 0..self.vcpus {
            self.priority(Choice::Step(vcpu));
        }
        let changes = u64::from(depth.saturating_sub(1));
        let draw = |i| (below(&mut self.generator, length.max(1)), MIDDLE - changes + i);
        self.changes = (0..changes).map(draw).collect();
        self.changes.sort_unstable_by(|one, other| other.cmp(one));
    }

    fn priority(&mut self, actor: Actor) -> u64 {
        let generator = &mut self.generator;
        *self.priorities.entry(actor).or_insert_with(|| MIDDLE + 1 + below(generator, MIDDLE))
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

    /// The actor with the highest priority, after the changes that are due.
    fn choice(&mut self, point: &Point) -> Actor {
        let mut actor = self.highest(point);
        if point.enabled.len() == 1 {
            return actor;
        }
        while let Some((_, priority)) = self.changes.pop_if(|(at, _)| *at == self.choices) {
            self.priorities.insert(actor, priority);
            actor = self.highest(point);
        }
        self.choices += 1;
        actor
    }
}

impl Chooser for Pct {
    fn choose(&mut self, point: &Point) -> Choice {
        let actor = self.choice(point);
        let (last, points) = self.streak;
        self.streak = if last == Some(actor) { (last, points + 1) } else { (Some(actor), 1) };
        if self.streak.1 > SPINNING {
            self.streak = (None, 0);
            self.lowest -= 1;
            self.priorities.insert(actor, self.lowest);
        }
        actor
    }
}

#[cfg(test)]
#[path = "pct_tests.rs"]
mod tests;
