//! A strategy that makes each run by the method that the lesson names.

use std::sync::Arc;

use vmm::controlled::{Choice, Chooser, Point};

use super::{Lesson, Method, Pct, Random, Strategy, Uniform};

/// Makes each run by the method that the lesson names.
#[derive(Debug)]
pub struct Mixed {
    method: Method,
    random: Random,
    uniform: Uniform,
    pct: Pct,
    path: Arc<[u8]>,
    /// Points of this run so far that had an alternative.
    choices: usize,
}

impl Mixed {
    /// Draws random numbers from this seed.
    pub fn new(seed: u64, vcpus: u32) -> Self {
        Self {
            method: Method::Random,
            random: Random::new(seed),
            uniform: Uniform::new(seed),
            pct: Pct::new(seed, vcpus),
            path: Arc::from([]),
            choices: 0,
        }
    }

    /// The next choice of the path; `None` at a point without an alternative and after the path's
    /// end.
    fn next_of_path(&mut self, point: &Point) -> Option<Choice> {
        if point.enabled.len() + point.faults.len() == 1 {
            return None;
        }
        let number = self.choices;
        self.choices += 1;
        let mut possible = point.enabled.iter().chain(point.faults);
        possible.nth(usize::from(*self.path.get(number)?)).copied()
    }
}

impl Chooser for Mixed {
    fn choose(&mut self, point: &Point) -> Choice {
        match self.method {
            Method::Pct(_) => self.pct.choose(point),
            Method::Uniform => self.uniform.choose(point),
            Method::Systematic => {
                self.next_of_path(point).unwrap_or_else(|| self.random.choose(point))
            }
            Method::Random | Method::Fixed => self.random.choose(point),
        }
    }
}

impl Strategy for Mixed {
    fn begin(&mut self, run: u64, lesson: &Lesson) {
        let turn = lesson.turn(run);
        self.method = turn.method;
        match turn.method {
            Method::Pct(depth) => self.pct.start(run, depth, lesson.length),
            Method::Uniform => self.uniform.start(run, &lesson.counts),
            Method::Random | Method::Systematic | Method::Fixed => self.random.start(run),
        }
        (self.path, self.choices) = (turn.path.clone(), 0);
    }
}
