//! Gives out the runs of a campaign to its workers.
//!
//! The order is by seed, and then by cell, so that all cells have as many runs as each other when a
//! campaign ends early.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::description::{CellDescription, Shard};
use super::record::RunRecord;

/// Why no further runs are given out. Of several reasons, the last one in this order counts: a
/// campaign is complete only if none of its runs was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// All runs were made that can be: those that are wanted, of cells that have not failed too
    /// often.
    Complete,
    /// The budget of runs is used up.
    OutOfRuns,
    /// The budget of time is used up.
    OutOfTime,
    /// The user has ended it.
    Interrupted,
    /// An error has ended it.
    Error,
}

impl Ended {
    /// The text in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::OutOfRuns => "out of runs",
            Self::OutOfTime => "out of time",
            Self::Interrupted => "interrupted",
            Self::Error => "error",
        }
    }
}

/// A run to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The cell's number.
    pub cell: usize,
    /// The seed.
    pub seed: u64,
}

/// Where the queue ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// The maximum number of runs, with those that are recorded already.
    pub(super) runs: Option<u64>,
    /// The time that is left.
    pub(super) time: Option<Duration>,
    /// No further run of a cell is given out after this number of its failures.
    pub(super) failures_per_cell: Option<u64>,
}

/// The runs that are still to be made.
#[derive(Debug)]
pub(super) struct Queue {
    cells: Vec<Wanted>,
    shard: Shard,
    bounds: Bounds,
    deadline: Option<Instant>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Wanted {
    asked: u64,
    first_seed: u64,
    /// The seeds whose runs were recorded before.
    done: HashSet<u64>,
}

#[derive(Debug)]
struct State {
    /// The cells that may have further runs, in their order.
    open: Vec<usize>,
    /// The next run: its number in its cell, and the place of the cell in `open`.
    round: u64,
    place: usize,
    /// Runs that were recorded before or were given out.
    given: u64,
    /// For each cell, the failures, and the runs of this shard that are not made.
    failures: Vec<u64>,
    left: Vec<u64>,
    /// For each cell, the runs that the user has ended while they ran.
    cut_short: Vec<u64>,
    ended: Option<Ended>,
}

impl Queue {
    /// The runs of this part that are not among the recorded ones.
    pub(super) fn new(
        cells: &[CellDescription],
        shard: Shard,
        recorded: &[RunRecord],
        bounds: Bounds,
    ) -> Self {
        let mut wanted: Vec<Wanted> = cells
            .iter()
            .map(|cell| Wanted {
                asked: cell.asked,
                first_seed: cell.first_seed,
                done: HashSet::new(),
            })
            .collect();
        let mut state = State {
            open: (0..cells.len()).collect(),
            round: shard.first(),
            place: 0,
            given: recorded.len() as u64,
            failures: vec![0; cells.len()],
            left: cells.iter().map(|cell| shard.share(cell.asked)).collect(),
            cut_short: vec![0; cells.len()],
            ended: None,
        };
        for run in recorded {
            if let Some(cell) = wanted.get_mut(run.cell) {
                cell.done.insert(run.seed);
                state.count(run);
            }
        }
        // A time too far away to represent means no deadline.
        let deadline = bounds.time.and_then(|time| Instant::now().checked_add(time));
        Self { cells: wanted, shard, bounds, deadline, state: Mutex::new(state) }
    }

    /// The next run; `None` if there are no more.
    pub(super) fn take(&self) -> Option<Task> {
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        while !state.open.is_empty() {
            if state.place >= state.open.len() {
                state.place = 0;
                state.round = state.round.saturating_add(self.shard.step());
            }
            let (place, round) = (state.place, state.round);
            let number = state.open[place];
            let cell = &self.cells[number];
            if round >= cell.asked || self.has_stopped(&state, number) {
                state.open.remove(place);
                continue;
            }
            state.place += 1;
            let seed = cell.first_seed.wrapping_add(round);
            if cell.done.contains(&seed) {
                continue;
            }
            if self.bounds.runs.is_some_and(|most| state.given >= most) {
                state.ended = Some(Ended::OutOfRuns);
                return None;
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                state.ended = Some(Ended::OutOfTime);
                return None;
            }
            state.given += 1;
            return Some(Task { cell: number, seed });
        }
        state.ended = Some(Ended::Complete);
        None
    }

    /// Whether a cell has as many failures as are wanted.
    fn has_stopped(&self, state: &State, cell: usize) -> bool {
        self.bounds.failures_per_cell.is_some_and(|most| state.failures[cell] >= most)
    }

    /// Takes account of a run that was made.
    pub(super) fn made(&self, run: &RunRecord) {
        self.lock().count(run);
    }

    /// The maximum number of runs that are still to be made.
    pub(super) fn left(&self) -> u64 {
        let state = self.lock();
        let cells = (0..self.cells.len()).filter(|cell| !self.has_stopped(&state, *cell));
        let left = sum(cells.map(|cell| state.left[cell]));
        match self.bounds.runs {
            Some(most) => {
                let made = (0..self.cells.len())
                    .map(|cell| self.shard.share(self.cells[cell].asked) - state.left[cell]);
                let made = sum(made);
                most.saturating_sub(made).min(left)
            }
            None => left,
        }
    }

    /// Gives out no more runs, for this reason.
    pub(super) fn end(&self, why: Ended) {
        let mut state = self.lock();
        state.ended = state.ended.max(Some(why));
    }

    /// Takes account of a run that the user has ended, and ends.
    pub(super) fn cut(&self, task: Task) {
        self.lock().cut_short[task.cell] += 1;
        self.end(Ended::Interrupted);
    }

    /// For each cell, how many runs the user has ended while they ran.
    pub(super) fn cut_short(&self) -> Vec<u64> {
        self.lock().cut_short.clone()
    }

    /// Why it has ended; complete if nothing is left.
    pub(super) fn ended(&self) -> Ended {
        self.lock().ended.unwrap_or(Ended::Complete)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sum of numbers of runs. A store may ask for any number, so the sum has a largest value.
fn sum(runs: impl Iterator<Item = u64>) -> u64 {
    runs.fold(0, u64::saturating_add)
}

impl State {
    fn count(&mut self, run: &RunRecord) {
        if let Some(left) = self.left.get_mut(run.cell) {
            *left = left.saturating_sub(1);
            self.failures[run.cell] += u64::from(run.failed);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
