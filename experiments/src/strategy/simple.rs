//! Simple strategies: round-robin, random, and a fixed schedule.

use rand_chacha::ChaCha8Rng;
use vmm::controlled::{Choice, Chooser, Point};

use super::{Lesson, Strategy, below, stream};
use crate::schedule::Schedule;

/// Each vCPU in turn.
#[derive(Debug, Default)]
pub struct RoundRobin;

impl Chooser for RoundRobin {
    fn choose(&mut self, point: &Point) -> Choice {
        let after = |choice: &&Choice| point.last.is_none_or(|last| choice.vcpu() > last);
        *point.enabled.iter().find(after).unwrap_or(&point.enabled[0])
    }
}

impl Strategy for RoundRobin {
    fn begin(&mut self, _: u64, _: &Lesson) {}
}

/// Chooses each enabled transition with the same probability.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    generator: ChaCha8Rng,
}

impl Random {
    /// Draws random numbers from this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, generator: stream(seed, 0) }
    }

    /// Begins a new run.
    pub fn start(&mut self, run: u64) {
        self.generator = stream(self.seed, run);
    }
}

impl Chooser for Random {
    fn choose(&mut self, point: &Point) -> Choice {
        point.enabled[below(&mut self.generator, point.enabled.len() as u64) as usize]
    }
}

/// Lets the vCPU that ran last go on if it can; otherwise takes the first enabled transition.
pub(crate) fn stay(point: &Point) -> Choice {
    let same = |choice: &&Choice| Some(choice.vcpu()) == point.last;
    *point.enabled.iter().find(same).unwrap_or(&point.enabled[0])
}

/// Follows a schedule, decision by decision. After its end, the last vCPU goes on while it can.
#[derive(Debug)]
pub struct Fixed {
    choices: Vec<Choice>,
    next: usize,
}

impl Fixed {
    /// Follows this schedule.
    pub fn new(schedule: &Schedule) -> Self {
        Self { choices: schedule.choices().collect(), next: 0 }
    }
}

impl Chooser for Fixed {
    fn choose(&mut self, point: &Point) -> Choice {
        let planned = self.choices.get(self.next).copied();
        self.next += 1;
        planned.unwrap_or_else(|| stay(point))
    }
}

impl Strategy for Fixed {
    fn begin(&mut self, _: u64, _: &Lesson) {
        self.next = 0;
    }
}
