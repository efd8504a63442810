//! The report of a campaign, made from its store alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::description::{CellDescription, Description};
use super::factors::{FactorReport, factors};
use super::queue::Ended;
use super::record::{FaultRecord, RunRecord, SessionRow, builds};
use super::statistics::{Rate, median};
use super::store::Store;
use super::store_error::StoreError;
use crate::cause::report::FORMAT;
use crate::experiment::Experiment;

/// The document of `experiment run --json`, and of `resume`, `report` and `merge`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "Experiment")]
pub struct Report {
    /// The version of the documents' format.
    pub format: u32,
    /// The experiment file.
    pub file: String,
    /// XXH64 of the file, in hex.
    pub file_hash: String,
    /// What the experiment is about.
    pub about: String,
    /// The files that the machines were made of, and XXH64 of each.
    pub images: BTreeMap<String, String>,
    /// The part of the runs that this campaign makes, such as `1/8`.
    pub shard: String,
    /// How long was worked on it, in seconds.
    pub seconds: f64,
    /// How each time of work ended; `killed or still at work` if that is not known.
    pub sessions: Vec<String>,
    /// How many runs each build of jitterbug has made: its version, and XXH64 of the program.
    pub builds: BTreeMap<String, u64>,
    /// The number of runs that are wanted of this part.
    pub asked: u64,
    /// The number of runs that were made.
    pub runs: u64,
    /// The number of runs that failed.
    pub failed: u64,
    /// Whether no further run is made because the budget of runs or of time is used up.
    pub budget_used_up: bool,
    /// The cells.
    pub cells: Vec<CellReport>,
    /// The failures by kind, the most frequent first.
    pub kinds: Vec<KindReport>,
    /// The factors, and the phases, in the order of how much each moves the rate.
    pub factors: Vec<FactorReport>,
    /// The reports that were kept.
    pub kept: Vec<KeptReport>,
}

/// One cell.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct CellReport {
    /// The cell's name.
    pub name: String,
    /// Its phase, and the value of each factor.
    pub levels: BTreeMap<String, String>,
    /// The number of runs that are wanted of this part.
    pub asked: u64,
    /// How often its runs failed.
    #[serde(flatten)]
    pub rate: Rate,
    /// The number of runs that reached the time limit, which is not a failure.
    pub time_limit: u64,
    /// The number of runs that a signal ended while they ran. They are not in the other numbers;
    /// failing runs last longer, so with many of these the rate may be too low.
    pub cut_short: u64,
    /// Whether some of the runs that are wanted were not made because it had failed often enough.
    pub stopped: bool,
    /// The median time from the start of a run to its failure, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_failure_seconds: Option<f64>,
    /// The number of delays that jitter injected.
    pub injections: u64,
    /// Whether it has jitter that injected nothing in any of its runs.
    pub idle_jitter: bool,
    /// How often each fault of its machine struck.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultReport>,
    /// The command that makes its first failure again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What a fault did in the runs of a cell.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// The fault, as `--fault` takes it.
    pub fault: String,
    /// How often it had an occasion, in all runs.
    pub matched: u64,
    /// How often it struck, in all runs.
    pub struck: u64,
    /// The number of runs in which it struck.
    pub runs: u64,
}

/// The failures of one kind.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct KindReport {
    /// What they are.
    pub kind: String,
    /// How many there are.
    pub failures: u64,
    /// How many there are in each cell.
    pub cells: BTreeMap<String, u64>,
    /// The command that makes one of them again.
    pub command: String,
}

/// A report of a run that was kept.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct KeptReport {
    /// The cell.
    pub cell: String,
    /// The seed.
    pub seed: u64,
    /// The kind of the failure.
    pub kind: String,
    /// The run, as in `boots` of `run --json`.
    pub report: Value,
}

impl Report {
    /// The report of a campaign, as it is at one moment.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        Self::with_runs(store).map(|(report, _)| report)
    }

    /// The report and the runs that it is of, at one moment.
    pub fn with_runs(store: &Store) -> Result<(Self, Vec<RunRecord>), StoreError> {
        store.at_one_moment(|store| {
            let runs = store.runs()?;
            Ok((Self::read(store, &runs)?, runs))
        })
    }

    fn read(store: &Store, runs: &[RunRecord]) -> Result<Self, StoreError> {
        let description = store.description()?;
        let sessions = store.sessions()?;
        let mut by_cell: Vec<Vec<&RunRecord>> = vec![Vec::new(); description.cells.len()];
        for run in runs {
            if let Some(cell) = by_cell.get_mut(run.cell) {
                cell.push(run);
            }
        }
        let jitter = jitter(&description);
        let cells: Vec<CellReport> = description
            .cells
            .iter()
            .zip(&by_cell)
            .zip(store.cut_short()?)
            .enumerate()
            .map(|(number, ((cell, runs), cut_short))| {
                let has_jitter = jitter.get(number).is_some_and(|is_on| *is_on);
                cell_report(&description, cell, runs, cut_short, has_jitter)
            })
            .collect();
        let rates: Vec<Rate> = cells.iter().map(|cell| cell.rate).collect();
        let name = |cell: usize| description.cells.get(cell).map_or("", |cell| &*cell.name);
        let kept = store.kept()?.into_iter().map(|kept| KeptReport {
            cell: name(kept.cell).into(),
            seed: kept.seed,
            kind: kept.kind,
            report: serde_json::from_str(&kept.report).unwrap_or(Value::Null),
        });
        Ok(Self {
            format: FORMAT,
            budget_used_up: budget_used_up(&description, runs.len() as u64, &sessions),
            seconds: sessions.iter().map(|session| session.seconds).sum(),
            builds: builds(&sessions).into_iter().collect(),
            sessions: sessions.into_iter().map(how_it_ended).collect(),
            asked: cells.iter().map(|cell| cell.asked).sum(),
            runs: runs.len() as u64,
            failed: runs.iter().filter(|run| run.failed).count() as u64,
            kinds: kinds(&description.cells, runs),
            factors: factors(&description.cells, &rates),
            cells,
            kept: kept.collect(),
            images: description.images.into_iter().map(|it| (it.name, it.hash)).collect(),
            shard: description.shard.to_string(),
            file: description.file,
            file_hash: description.file_hash,
            about: description.about,
        })
    }

    /// Whether there are runs that were wanted and not made, of cells that had not failed often
    /// enough.
    pub fn is_incomplete(&self) -> bool {
        self.cells.iter().any(|cell| cell.rate.runs < cell.asked && !cell.stopped)
    }
}

fn how_it_ended(session: SessionRow) -> String {
    session.ended.unwrap_or_else(|| "killed or still at work".into())
}

/// Whether the budget of runs or of time is used up.
fn budget_used_up(description: &Description, runs: u64, sessions: &[SessionRow]) -> bool {
    let seconds: f64 = sessions.iter().map(|session| session.seconds).sum();
    let last = sessions.last().and_then(|session| session.ended.as_deref());
    description.run_limit().is_some_and(|most| runs >= most)
        || description.time_limit().is_some_and(|most| seconds >= most.as_secs_f64())
        || last == Some(Ended::OutOfTime.name())
}

/// For each cell, whether it has jitter; the store has the experiment file, which says it.
fn jitter(description: &Description) -> Vec<bool> {
    let experiment = Experiment::read(&description.file, &description.file_text);
    let cells = experiment.map_or_else(|_| Vec::new(), |experiment| experiment.cells);
    cells.iter().map(|cell| !cell.settings.jitter.is_off()).collect()
}

/// The command that makes a run again.
fn command(cell: &CellDescription, seed: u64) -> String {
    format!("{} --seed {seed}", cell.command)
}

fn cell_report(
    description: &Description,
    cell: &CellDescription,
    runs: &[&RunRecord],
    cut_short: u64,
    has_jitter: bool,
) -> CellReport {
    let failures: Vec<_> = runs.iter().filter(|run| run.failed).collect();
    let asked = description.shard.share(cell.asked);
    let all: Vec<bool> = runs.iter().map(|run| run.failed).collect();
    let rate = match description.limits.failures_per_cell {
        Some(most) => Rate::until(most, &all),
        None => Rate::of(failures.len() as u64, all.len() as u64),
    };
    let injections = runs.iter().map(|run| run.injections).sum();
    CellReport {
        name: cell.name.clone(),
        levels: cell.levels.iter().cloned().collect(),
        asked,
        rate,
        time_limit: runs.iter().filter(|run| run.is_limited()).count() as u64,
        cut_short,
        stopped: rate.until_last.is_some() && rate.runs < asked,
        median_failure_seconds: median(failures.iter().map(|run| run.seconds).collect()),
        injections,
        idle_jitter: has_jitter && !runs.is_empty() && injections == 0,
        faults: faults(runs),
        command: failures.first().map(|run| command(cell, run.seed)),
    }
}

/// The sums over the runs of a cell, all of which have the same faults.
fn faults(runs: &[&RunRecord]) -> Vec<FaultReport> {
    let mut sums: Vec<FaultReport> = Vec::new();
    for run in runs {
        for (number, FaultRecord { fault, matched, struck }) in run.faults.iter().enumerate() {
            if number == sums.len() {
                let fault = fault.clone();
                sums.push(FaultReport { fault, matched: 0, struck: 0, runs: 0 });
            }
            let sum = &mut sums[number];
            sum.matched += matched;
            sum.struck += struck;
            sum.runs += u64::from(*struck > 0);
        }
    }
    sums
}

fn kinds(cells: &[CellDescription], runs: &[RunRecord]) -> Vec<KindReport> {
    let mut kinds: BTreeMap<&str, KindReport> = BTreeMap::new();
    for run in runs {
        let (Some(kind), Some(cell)) = (&run.kind, cells.get(run.cell)) else { continue };
        let report = kinds.entry(kind).or_insert_with(|| KindReport {
            kind: kind.clone(),
            failures: 0,
            cells: BTreeMap::new(),
            command: command(cell, run.seed),
        });
        report.failures += 1;
        *report.cells.entry(cell.name.clone()).or_default() += 1;
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.failures));
    kinds
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
