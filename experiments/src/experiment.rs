//! Experiment files: which machines are run, how often, what is a failure, and what is kept
//! (docs/experiments.md). A campaign makes the runs ([`crate::campaign`]).

mod cell;
mod file;
mod matrix;
mod values;

use std::time::Duration;

use inspect::suggest::nearest;
use probes::source::Span;
use probes::{Diagnostic, Diagnostics, Source};
use vmm::criteria::Pattern;
use vmm::limits::Watchdog;

pub use cell::{Cell, CellSettings, Level};
pub use file::File;
use matrix::{Problem, refused, span};
use values::{Count, Text};

use crate::finding::image_hash;

/// An experiment, read and checked.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// What it is about.
    pub about: String,
    /// The cells, in the order of the file.
    pub cells: Vec<Cell>,
    /// What a failure is.
    pub criteria: FailureCriteria,
    /// The watchdog; `None` stands for the guest's own.
    pub watchdog: Option<Watchdog>,
    /// A run is ended after this time.
    pub timeout: Option<Duration>,
    /// The seed of each cell's first run.
    pub first_seed: u64,
    /// Where the campaign ends before all runs were made.
    pub budget: Limits,
    /// The number of failures of each kind of which the report is kept.
    pub keep: u32,
    source: Source,
}

/// The criteria of the file. Places are texts, because each guest has them at addresses of its own.
#[derive(Clone, Debug, Default)]
pub struct FailureCriteria {
    /// Success: a line on the console contains one of these.
    pub ok: Vec<Pattern>,
    /// Failure: a line on the console contains one of these.
    pub fail: Vec<Pattern>,
    /// Success: a vCPU reaches one of these places.
    pub ok_at: Vec<String>,
    /// Failure: a vCPU reaches one of these places.
    pub fail_at: Vec<String>,
}

/// Where a campaign ends before all runs were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The maximum number of runs.
    pub runs: Option<u64>,
    /// No run begins after this time of work.
    pub time: Option<Duration>,
    /// No further run of a cell begins after this number of its failures.
    pub failures_per_cell: Option<u64>,
}

impl Experiment {
    /// Reads the text of a file. `name` is the name that errors use.
    pub fn read(name: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Source::new(name, text);
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => return Err(refused(source, &unreadable(&error))),
        };
        let checked = matrix::cells(&file).and_then(|cells| {
            let first_seed = first_seed(&file, &cells)?;
            Ok((cells, first_seed))
        });
        let (cells, first_seed) = match checked {
            Ok(checked) => checked,
            Err(problem) => return Err(refused(source, &problem)),
        };
        let patterns = |given: Vec<Text<Pattern>>| given.into_iter().map(|it| it.0).collect();
        let count = |given: Option<Count>| given.map(|count| count.0);
        let File { about, failure, budget, keep, .. } = file;
        Ok(Self {
            about,
            cells,
            criteria: FailureCriteria {
                ok: patterns(failure.ok),
                fail: patterns(failure.fail),
                ok_at: failure.ok_at,
                fail_at: failure.fail_at,
            },
            watchdog: failure.watchdog.map(|it| it.0),
            timeout: failure.timeout.map(|it| it.0),
            first_seed,
            budget: Limits {
                runs: count(budget.runs),
                time: budget.time.map(|it| it.0),
                failures_per_cell: count(budget.failures_per_cell),
            },
            keep: keep.failures,
            source,
        })
    }

    /// An error at a place of the file, such as a cell's guest that isn't there.
    pub fn error_at(&self, at: Span, message: &str, label: &str) -> Diagnostics {
        let error = Diagnostic::error(at, message, label);
        Diagnostics::new([self.source.clone()].into(), vec![error])
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// XXH64 of the file, in hex, by which a campaign knows its file again.
    pub fn hash(&self) -> String {
        image_hash(self.source.text.as_bytes())
    }
}

/// The seed of the first runs. Fails if the seeds of a cell would not fit into the store.
fn first_seed(file: &File, cells: &[Cell]) -> Result<u64, Problem> {
    let Some(first) = &file.runs.first_seed else { return Ok(1) };
    let most = cells.iter().map(|cell| cell.runs).max().unwrap_or(0);
    let last = first.get_ref().checked_add(most);
    if last.is_none_or(|last| last > Count::MAX) {
        let message = format!("seeds end at {}", Count::MAX);
        let at = span(first.span());
        return Err(Box::new(Diagnostic::error(at, message, "too large for this number of runs")));
    }
    Ok(*first.get_ref())
}

/// The error of a text that is not of this form.
fn unreadable(error: &toml::de::Error) -> Diagnostic {
    let message = error.message().to_owned();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let near = match names.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            nearest(unknown, known.iter().copied())
        }
        _ => None,
    };
    let error = match error.span() {
        Some(range) => Diagnostic::error(span(range), message.clone(), "here"),
        None => Diagnostic::general(message.clone()),
    };
    error.suggesting(near)
}

#[cfg(test)]
#[path = "experiment_tests.rs"]
mod tests;
