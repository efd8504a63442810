//! Compares the rates of two campaigns.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::difference::{fisher, holm, interval};
use super::report::Report;
use super::statistics::Rate;
use crate::cause::report::FORMAT;

/// The p value up to which a difference is told.
pub const LEVEL: f64 = 0.05;

/// The document of `experiment compare --json`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Comparison {
    /// The version of the documents' format.
    pub format: u32,
    /// The two campaigns.
    pub campaigns: [Compared; 2],
    /// The cells that both have, or one row of all runs.
    pub rows: Vec<Row>,
    /// For each campaign, the cells that only it has.
    pub unmatched: [Vec<String>; 2],
}

/// A campaign that is compared.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Compared {
    /// The experiment file.
    pub file: String,
    /// The number of runs that were made.
    pub runs: u64,
    /// The number of runs that failed.
    pub failed: u64,
}

/// The rates of a cell in both campaigns, and their difference.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Row {
    /// The cell's name.
    pub name: String,
    /// Its rates in the first and in the second campaign.
    pub rates: [Rate; 2],
    /// The second rate less the first; missing if they can't be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Why they can't be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<NotCompared>,
}

/// A difference of two rates.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Difference {
    /// The second rate less the first, from -1 to 1.
    pub difference: f64,
    /// The lower bound of Newcombe's hybrid score interval of 95 %.
    pub low: f64,
    /// The upper bound of that interval.
    pub high: f64,
    /// The p value of Fisher's exact test, two-sided.
    pub p: f64,
    /// The p value, adjusted by Holm's procedure for the number of rows.
    pub adjusted_p: f64,
    /// Whether a difference can be told: `adjusted_p` is at most 0.05.
    pub told: bool,
}

/// Why two rates can't be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotCompared {
    /// One of them is of no runs.
    NoRuns,
    /// One of them is of runs up to a failure, for which the test does not hold.
    Stopped,
}

impl Comparison {
    /// Compares the cells of two campaigns by their names, or all runs of each if `whole`.
    pub fn of(first: &Report, second: &Report, whole: bool) -> Self {
        let (mut rows, unmatched) = if whole {
            (vec![Row::new("all runs", all(first), all(second))], [Vec::new(), Vec::new()])
        } else {
            by_name(first, second)
        };
        let p: Vec<f64> = rows.iter().filter_map(|row| row.difference).map(|it| it.p).collect();
        let compared = rows.iter_mut().filter_map(|row| row.difference.as_mut());
        for (difference, adjusted) in compared.zip(holm(&p)) {
            difference.adjusted_p = adjusted;
            difference.told = adjusted <= LEVEL;
        }
        let compared = |report: &Report| Compared {
            file: report.file.clone(),
            runs: report.runs,
            failed: report.failed,
        };
        Self { format: FORMAT, campaigns: [compared(first), compared(second)], rows, unmatched }
    }

    /// The number of rows that were compared.
    pub fn compared(&self) -> usize {
        self.rows.iter().filter(|row| row.difference.is_some()).count()
    }

    /// The number of rows of which a difference can be told.
    pub fn told(&self) -> usize {
        let differences = self.rows.iter().filter_map(|row| row.difference);
        differences.filter(|difference| difference.told).count()
    }
}

/// The rate of all runs of a campaign.
fn all(report: &Report) -> Rate {
    let rates: Vec<Rate> = report.cells.iter().map(|cell| cell.rate).collect();
    Rate::together(&rates)
}

/// The rows of the cells that both campaigns have, in the order of the first, and the names of the
/// others.
fn by_name(first: &Report, second: &Report) -> (Vec<Row>, [Vec<String>; 2]) {
    let mut others: BTreeMap<&str, Rate> =
        second.cells.iter().map(|cell| (&*cell.name, cell.rate)).collect();
    let (mut rows, mut only_first) = (Vec::new(), Vec::new());
    for cell in &first.cells {
        match others.remove(&*cell.name) {
            Some(other) => rows.push(Row::new(&cell.name, cell.rate, other)),
            None => only_first.push(cell.name.clone()),
        }
    }
    let names = second.cells.iter().map(|cell| &cell.name);
    let only_second = names.filter(|name| others.contains_key(&***name)).cloned().collect();
    (rows, [only_first, only_second])
}

impl Row {
    fn new(name: &str, first: Rate, second: Rate) -> Self {
        let stopped = |rate: &Rate| rate.until_last.is_some() || rate.too_high;
        let not_compared = if first.runs == 0 || second.runs == 0 {
            Some(NotCompared::NoRuns)
        } else if stopped(&first) || stopped(&second) {
            Some(NotCompared::Stopped)
        } else {
            None
        };
        let bounds = interval(&first, &second).filter(|_| not_compared.is_none());
        let difference = bounds.map(|(difference, low, high)| {
            let p = fisher(&first, &second);
            Difference { difference, low, high, p, adjusted_p: p, told: false }
        });
        Self { name: name.into(), rates: [first, second], difference, not_compared }
    }
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
