//! How strongly a factor and the failures are associated.

use schemars::JsonSchema;
use serde::Serialize;

use super::statistics::Rate;

/// The least expected count of a cell of the table for which chi-square is trusted (W. G. Cochran,
/// "Some Methods for Strengthening the Common Chi-Square Tests", Biometrics 10, 1954).
const LEAST_EXPECTED: f64 = 5.0;

/// How strongly a factor and the failures are associated.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Association {
    /// Pearson's chi-square.
    pub chi_square: f64,
    /// Its degrees of freedom.
    pub degrees: u64,
    /// Cramer's V, corrected for bias: 0 if chance alone explains chi-square.
    pub cramers_v: f64,
    /// Whether there are too few runs to trust these figures: the table has an expected count
    /// below 5.
    pub too_few_runs: bool,
}

/// Why nothing can be told about a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NothingToTell {
    /// There are no runs.
    NoRuns,
    /// Only one value has runs.
    OneValue,
    /// No run failed.
    NoneFailed,
    /// All runs failed.
    AllFailed,
}

/// The association of a factor with these values: Pearson's chi-square of the table of its values
/// by failed and passed, and Cramer's V, from 0, none, to 1, with the correction without which it
/// grows with the number of values and with few runs (W. Bergsma, "A Bias-Correction for Cramer's V
/// and Tschuprow's T", Journal of the Korean Statistical Society 42, 2013).
pub(super) fn association(levels: &[Rate]) -> Result<Association, NothingToTell> {
    let levels: Vec<_> = levels.iter().filter(|level| level.runs > 0).collect();
    let runs: u64 = levels.iter().map(|level| level.runs).sum();
    let failed: u64 = levels.iter().map(|level| level.failed).sum();
    match (levels.len(), failed) {
        (0, _) => return Err(NothingToTell::NoRuns),
        (1, _) => return Err(NothingToTell::OneValue),
        (_, 0) => return Err(NothingToTell::NoneFailed),
        (_, failed) if failed == runs => return Err(NothingToTell::AllFailed),
        _ => {}
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
    let rarer = rate.min(1.0 - rate);
    let too_few_runs = levels.iter().any(|level| level.runs as f64 * rarer < LEAST_EXPECTED);
    let degrees = levels.len() as u64 - 1;
    let cramers_v = corrected_v(chi_square, levels.len() as f64, runs as f64);
    Ok(Association { chi_square, degrees, cramers_v, too_few_runs })
}

/// V of a table with two columns and this number of rows, corrected for bias.
fn corrected_v(chi_square: f64, rows: f64, runs: f64) -> f64 {
    const COLUMNS: f64 = 2.0;
    let others = runs - 1.0;
    let by_chance = (rows - 1.0) * (COLUMNS - 1.0) / others;
    let phi_square = (chi_square / runs - by_chance).max(0.0);
    let corrected = |count: f64| count - (count - 1.0) * (count - 1.0) / others;
    let least = (corrected(rows) - 1.0).min(corrected(COLUMNS) - 1.0);
    // With two runs, chance explains everything.
    if least > 0.0 { (phi_square / least).sqrt().min(1.0) } else { 0.0 }
}

#[cfg(test)]
#[path = "association_tests.rs"]
mod tests;
