//! Campaigns: the runs of an experiment, recorded one by one, so that a campaign can be
//! interrupted, resumed, divided between machines and merged (docs/experiments.md).
//!
//! How a machine is run is not known here: workers call a function for it. A worker takes a run,
//! has it made, and hands over the record. The calling thread commits what has been handed over in
//! the meantime in one transaction: while it waits for the disk, the workers go on.

mod association;
mod comparison;
mod description;
mod difference;
mod factors;
mod folder;
mod insert;
mod inverse;
mod merge;
mod queue;
mod reading;
mod record;
mod report;
mod statistics;
mod store;
mod store_error;
mod survival;
#[cfg(test)]
mod testing;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub use association::{Association, NothingToTell};
pub use comparison::{Comparison, Difference, LEVEL, NotCompared, Row as ComparisonRow};
pub use description::{CellDescription, Description, Image, ImageHash, Shard};
pub use factors::{FactorReport, LevelReport};
pub use merge::{MergeError, merge};
use queue::{Bounds, Queue};
pub use queue::{Ended, Task};
pub use record::{FaultRecord, RunRecord, builds};
pub use report::{CellReport, FaultReport, KeptReport, KindReport, Report};
pub use statistics::Rate;
pub use store::Store;
pub use store_error::{FILE_NAME, StoreError};
pub use survival::{Outcome, Step, survival};

/// The most runs that are handed over and not yet committed; workers wait then.
const MAX_UNCOMMITTED: usize = 64;

/// How far a campaign is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// The runs that are recorded, with those of earlier sessions.
    pub runs: u64,
    /// The runs among them that failed.
    pub failed: u64,
    /// The runs that this session has recorded.
    pub now: u64,
    /// The maximum number of runs that are left.
    pub left: u64,
}

/// What a worker has made of a run.
#[derive(Debug)]
pub enum Made {
    /// The run came to its end.
    Run(RunRecord),
    /// The user has ended it while it ran.
    CutShort,
    /// The user has ended the campaign before it began.
    NotBegun,
}

/// Why a campaign could not go on.
#[derive(Debug)]
pub enum Failed<E> {
    /// Its store.
    Store(StoreError),
    /// A run could not be made.
    Run(E),
}

impl<E> From<StoreError> for Failed<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How a campaign is worked on.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The number of runs that are made side by side.
    pub jobs: u32,
    /// The build of the program that makes them.
    pub build: &'a str,
}

/// Makes the runs that are not recorded yet, `jobs` of them side by side. Each worker calls
/// `worker` once, and the function that it gets for each run. A run that was cut short, or did not
/// begin, ends the campaign; the store has the number of those that were cut short. `seen` is
/// called after each commit with what was recorded.
pub fn work<W, E>(
    store: &mut Store,
    Work { jobs, build }: Work,
    worker: impl Fn() -> Result<W, E> + Sync,
    mut seen: impl FnMut(&[RunRecord], &Tally),
) -> Result<(Tally, Ended), Failed<E>>
where
    W: FnMut(Task) -> Result<Made, E>,
    E: Send,
{
    let description = store.description()?;
    let recorded = store.runs()?;
    let before: f64 = store.sessions()?.iter().map(|session| session.seconds).sum();
    let before = Duration::try_from_secs_f64(before).unwrap_or_default();
    let time = description.time_limit().map(|time| time.saturating_sub(before));
    let failures_per_cell = description.limits.failures_per_cell;
    let bounds = Bounds { runs: description.run_limit(), time, failures_per_cell };
    let queue = Queue::new(&description.cells, description.shard, &recorded, bounds);
    let failed = recorded.iter().filter(|run| run.failed).count() as u64;
    let runs = recorded.len() as u64;
    drop(recorded);
    let session = store.begin(description.shard, jobs, build)?;
    let start = Instant::now();
    let mut tally = Tally { runs, failed, now: 0, left: queue.left() };
    let mut problem = None;
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(MAX_UNCOMMITTED);
        for _ in 0..jobs {
            let (sender, queue, worker) = (sender.clone(), &queue, &worker);
            scope.spawn(move || make_runs(queue, worker, &sender));
        }
        drop(sender);
        while let Some(batch) = batch(&receiver, &mut problem) {
            let time = start.elapsed();
            let committed = store.record(&batch, description.keep, Some((session, time)));
            if let Err(error) = committed {
                queue.end(Ended::Error);
                problem.get_or_insert(Failed::Store(error));
                continue;
            }
            for run in &batch {
                tally.failed += u64::from(run.failed);
            }
            tally.runs += batch.len() as u64;
            tally.now += batch.len() as u64;
            tally.left = queue.left();
            seen(&batch, &tally);
        }
    });
    let ended = if problem.is_some() { Ended::Error } else { queue.ended() };
    let noted = store.end(session, start.elapsed(), ended.name(), &queue.cut_short());
    match problem {
        Some(problem) => Err(problem),
        None => noted.map(|()| (tally, ended)).map_err(Failed::Store),
    }
}

type Handed<E> = Result<RunRecord, E>;

/// What a worker does.
fn make_runs<W, E>(
    queue: &Queue,
    worker: &impl Fn() -> Result<W, E>,
    sender: &SyncSender<Handed<E>>,
) where
    W: FnMut(Task) -> Result<Made, E>,
{
    let mut make = match worker() {
        Ok(make) => make,
        Err(error) => {
            queue.end(Ended::Error);
            // The receiver stays until all workers have ended.
            return drop(sender.send(Err(error)));
        }
    };
    while let Some(task) = queue.take() {
        match make(task) {
            Ok(Made::Run(run)) => {
                // Before the next run is taken: its cell may have failures enough now.
                queue.made(&run);
                drop(sender.send(Ok(run)));
            }
            Ok(Made::CutShort) => queue.cut(task),
            Ok(Made::NotBegun) => queue.end(Ended::Interrupted),
            Err(error) => {
                queue.end(Ended::Error);
                drop(sender.send(Err(error)));
            }
        }
    }
}

/// Waits for a run, and returns it with all others that were handed over; `None` when all workers
/// have ended. The first error is kept.
fn batch<E>(
    receiver: &Receiver<Handed<E>>,
    problem: &mut Option<Failed<E>>,
) -> Option<Vec<RunRecord>> {
    let first = receiver.recv().ok()?;
    let mut runs = Vec::new();
    for handed in std::iter::once(first).chain(receiver.try_iter()) {
        match handed {
            Ok(run) => runs.push(run),
            Err(error) => drop(problem.get_or_insert(Failed::Run(error))),
        }
    }
    Some(runs)
}

#[cfg(test)]
#[path = "campaign_tests.rs"]
mod tests;
