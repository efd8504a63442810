//! The statistics of a campaign's report (docs/experiments.md has the sources).

use schemars::JsonSchema;
use serde::Serialize;

/// The 97.5 % quantile of the standard normal distribution: a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// How often runs failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub struct Rate {
    /// The number of runs.
    pub runs: u64,
    /// The number of them that failed.
    pub failed: u64,
    /// The rate of failures, from 0 to 1; missing if there are no runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The lower bound of the rate: Wilson's interval of 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper bound of that interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// If no run failed: the rate is below this, with a confidence of 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
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
        }
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

/// How strongly a factor and the failures are associated: Pearson's chi-square of the table of its
/// values by failed and passed, and Cramer's V (H. Cramer, "Mathematical Methods of Statistics",
/// 1946, chapter 21), from 0, none, to 1. `None` if all runs came out the same way or only one
/// value has runs, where there is nothing to tell.
pub(super) fn association(levels: &[Rate]) -> Option<Association> {
    let levels: Vec<_> = levels.iter().filter(|level| level.runs > 0).collect();
    let runs: u64 = levels.iter().map(|level| level.runs).sum();
    let failed: u64 = levels.iter().map(|level| level.failed).sum();
    if levels.len() < 2 || failed == 0 || failed == runs {
        return None;
    }
    let rate = failed as f64 / runs as f64;
    let chi_square: f64 = levels
        .iter()
        .map(|level| {
            let (n, observed) = (level.runs as f64, level.failed as f64);
            let difference = observed - n * rate;
            difference * difference / (n * rate) + difference * difference / (n * (1.0 - rate))
        })
        .sum();
    // The table has two columns, so V is the root of chi-square by the number of runs.
    let cramers_v = (chi_square / runs as f64).sqrt().min(1.0);
    Some(Association { chi_square, degrees: levels.len() as u64 - 1, cramers_v })
}

/// How strongly a factor and the failures are associated.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Association {
    /// Pearson's chi-square.
    pub chi_square: f64,
    /// Its degrees of freedom.
    pub degrees: u64,
    /// Cramer's V.
    pub cramers_v: f64,
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
