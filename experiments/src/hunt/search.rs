//! Runs the threads of a search, and evaluates the results of their runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use inspect::Symbols;
use vmm::{Error, Host};

use super::plan::Plan;
use super::queue::Queue;
use super::trial::{Report, Worker};
use super::{FaultTally, Hunt, Next, PLACES, Progress, SearchEvent};

/// How long the search may be silent: after this interval without a run it reports
/// [`SearchEvent::Idle`].
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// A run's number and its result.
type Made = (u64, vmm::Result<Option<Report>>);

/// Searches. `tell` is called after every run, in the order of their numbers, and at intervals
/// while no run ends. The first failure ends the search, unless `keep_going` is set; so does an
/// error in a run with a lower number.
pub fn hunt(
    host: &Host,
    hunt: &Hunt,
    symbols: Option<&Symbols>,
    mut tell: impl FnMut(&Progress, SearchEvent) -> Next,
) -> vmm::Result<Progress> {
    let plan = Plan::new(&hunt.strategy);
    let queue = Arc::new(Queue::new(hunt.runs, plan.lesson().clone(), hunt.time));
    thread::scope(|scope| {
        // However the search ends, its threads must end, too.
        let _closing = Closing(&queue);
        let (sender, receiver) = mpsc::channel();
        for number in 0..hunt.jobs.max(1) {
            let (sender, queue) = (sender.clone(), &queue);
            let work = move || {
                let mut worker = Worker::new(host, hunt, symbols, queue);
                while let Some(ticket) = queue.take() {
                    let run = ticket.run;
                    let made = worker.make(&ticket);
                    let failed = made.is_err();
                    // The receiver is gone once the search is over.
                    if sender.send((run, made)).is_err() || failed {
                        break;
                    }
                }
            };
            thread::Builder::new()
                .name(format!("hunt {number}"))
                .spawn_scoped(scope, work)
                .map_err(|source| Error::System {
                    what: "a thread for --jobs can't be started: give fewer",
                    source,
                })?;
        }
        drop(sender);
        Search::new(hunt, &queue, plan).collect(&receiver, &mut tell)
    })
}

/// Closes a queue when it is dropped.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The results so far.
struct Search<'a> {
    hunt: &'a Hunt,
    queue: &'a Queue,
    progress: Progress,
    plan: Plan,
}

impl<'a> Search<'a> {
    fn new(hunt: &'a Hunt, queue: &'a Queue, plan: Plan) -> Self {
        Self { hunt, queue, progress: Progress::default(), plan }
    }

    /// Takes the results from the threads, in the order of the runs' numbers, until the search is
    /// over.
    fn collect(
        mut self,
        receiver: &Receiver<Made>,
        tell: &mut dyn FnMut(&Progress, SearchEvent) -> Next,
    ) -> vmm::Result<Progress> {
        // Results of runs with a higher number than the next one to take.
        let mut early = BTreeMap::new();
        let mut stopped = false;
        loop {
            match receiver.recv_timeout(PROGRESS_INTERVAL) {
                Ok((run, made)) => drop(early.insert(run, made)),
                Err(RecvTimeoutError::Timeout) => {
                    stopped |= tell(&self.progress, SearchEvent::Idle) == Next::Stop;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while !stopped && let Some(made) = early.remove(&self.progress.runs) {
                match self.take(made?, tell) {
                    After::GoOn => {}
                    After::Stop => stopped = true,
                    After::Enough => return Ok(self.progress),
                }
            }
            if stopped {
                self.queue.close();
            }
        }
        // When the search was stopped, some runs are missing, but the results after a gap must not
        // be lost.
        for made in early.into_values() {
            if self.take(made?, tell) == After::Enough {
                break;
            }
        }
        Ok(self.progress)
    }

    fn take(
        &mut self,
        report: Option<Report>,
        tell: &mut dyn FnMut(&Progress, SearchEvent) -> Next,
    ) -> After {
        let Some(report) = report else { return After::GoOn };
        let progress = &mut self.progress;
        progress.runs += 1;
        progress.points += report.points;
        progress.choices += report.choices;
        progress.watched = report.watched;
        progress.hashes = progress.hashes.wrapping_add(report.hash);
        if let Some(place) = &report.cut_short {
            progress.cut_short += 1;
            let places = &mut progress.cut_short_at;
            let is_new = !places.contains_key(place);
            let place = if is_new && places.len() >= PLACES { "elsewhere" } else { place };
            *places.entry(place.to_owned()).or_default() += 1;
        }
        progress.faults.resize(self.hunt.machine.faults.len(), FaultTally::default());
        for (tally, number) in progress.faults.iter_mut().zip(1..) {
            tally.possible += u64::from(report.faults.numbers.contains(&number));
            tally.struck += u64::from(report.struck.contains(&number));
        }
        progress.quiet += u64::from(report.quiet);
        progress.failed += u64::from(report.finding.is_some());
        progress.diverged += u64::from(report.divergence.is_some());
        if report.finding.is_none() {
            progress.longest = progress.longest.max(report.decisions);
        }
        match self.plan.take(&report) {
            Some(true) => progress.repeats = 0,
            Some(false) => progress.repeats += 1,
            None => {}
        }
        progress.distinct = self.plan.distinct();
        progress.exhausted = self.plan.is_exhausted();
        progress.methods.clone_from(self.plan.tallies());
        if let Some(lesson) = self.plan.next(progress.runs) {
            self.queue.open(lesson);
        }
        let diverged = report.divergence.as_ref().map(|d| SearchEvent::Diverged(report.run, d));
        let failed = report.finding.as_deref().map(SearchEvent::Failed);
        let mut next = Next::GoOn;
        for told in diverged.into_iter().chain([failed.unwrap_or(SearchEvent::Passed)]) {
            if tell(&self.progress, told) == Next::Stop {
                next = Next::Stop;
            }
        }
        let is_found = report.finding.is_some() && !self.hunt.keep_going;
        if is_found || self.progress.exhausted {
            After::Enough
        } else if next == Next::Stop {
            After::Stop
        } else {
            After::GoOn
        }
    }
}

/// Whether a search continues after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    GoOn,
    /// The caller wants it to stop. Failures that were already found are still reported.
    Stop,
    /// The search has found a failure, or every interleaving has been run.
    Enough,
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
