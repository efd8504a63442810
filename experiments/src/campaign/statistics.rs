//! The statistics of a campaign's report (docs/experiments.md has the sources).

use schemars::JsonSchema;
use serde::Serialize;

use super::inverse;

/// The 97.5 % quantile of the standard normal distribution: a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// How often runs failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct Rate {
    /// The number of runs.
    pub runs: u64,
    /// The number of them that failed.
    pub failed: u64,
    /// The rate of failures, from 0 to 1; missing if it is not known. By inverse sampling if
    /// `until_last` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The lower bound of the rate: Wilson's interval of 95 %, or the one of inverse sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper bound of that interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// If no run failed: the rate is below this, with a confidence of 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// If the cell reached `failures_per_cell`: the number of runs, in the order of their seeds, up
    /// to the failure that reached it. The rate and its interval are of these runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_last: Option<u64>,
    /// Whether the rate is too high, because some of the cells that are counted together reached
    /// `failures_per_cell`. It then has no interval.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub too_high: bool,
}

impl Rate {
    /// `failed` of `runs` runs failed.
    pub fn of(failed: u64, runs: u64) -> Self {
        if runs == 0 {
            return Self::default();
        }
        let (low, high) = wilson(failed, runs);
        Self {
            runs,
            failed,
            rate: Some(failed as f64 / runs as f64),
            low: Some(low),
            high: Some(high),
            below: (failed == 0).then(|| upper_bound(runs)),
            ..Self::default()
        }
    }

    /// A cell that is run until its `most`-th failure, from 1 on; `failures` says of each run, in
    /// the order of the seeds, whether it failed. The runs after that failure, which were in
    /// progress beside it, don't count for the rate.
    pub(super) fn until(most: u64, failures: &[bool]) -> Self {
        let all =
            Self::of(failures.iter().map(|failed| u64::from(*failed)).sum(), failures.len() as u64);
        let mut numbers = (1..).zip(failures).filter(|(_, failed)| **failed);
        let last = usize::try_from(most.saturating_sub(1)).ok().and_then(|most| numbers.nth(most));
        let Some((last, _)) = last else { return all };
        let (low, high) = inverse::interval(most, last);
        Self {
            rate: inverse::estimate(most, last),
            low: Some(low),
            high: Some(high),
            until_last: Some(last),
            ..all
        }
    }

    /// The runs of cells, counted together.
    pub fn together(cells: &[Self]) -> Self {
        if let [cell] = cells {
            return *cell;
        }
        let (mut runs, mut failed, mut too_high) = (0, 0, false);
        for cell in cells {
            runs += cell.runs;
            failed += cell.failed;
            too_high |= cell.until_last.is_some();
        }
        let all = Self::of(failed, runs);
        if too_high { Self { low: None, high: None, below: None, too_high, ..all } } else { all }
    }
}

/// Wilson's score interval of 95 % for a rate (E. B. Wilson, "Probable Inference, the Law of
/// Succession, and Statistical Inference", JASA 22, 1927).
fn wilson(failed: u64, runs: u64) -> (f64, f64) {
    let (n, rate) = (runs as f64, failed as f64 / runs as f64);
    let square = Z * Z;
    let centre = rate + square / (2.0 * n);
    let half = Z * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    // The bounds are exactly 0 and 1 where all or none failed; rounding may miss that.
    let low = if failed == 0 { 0.0 } else { (centre - half) / scale };
    let high = if failed == runs { 1.0 } else { (centre + half) / scale };
    (low, high)
}

/// The rate for which `runs` runs without a failure have a probability of 5 %: the exact one-sided
/// bound (Clopper and Pearson, Biometrika 26, 1934), of which the rule of three is an
/// approximation.
fn upper_bound(runs: u64) -> f64 {
    -(0.05_f64.ln() / runs as f64).exp_m1()
}

/// The median; `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(values[middle - 1], upper)) }
}

#[cfg(test)]
#[path = "statistics_tests.rs"]
mod tests;
