//! The difference of two rates of failures.

use super::statistics::Rate;

/// Weights that are larger than that of the observed table by less than this, relatively, count as
/// equal: they differ by rounding.
const EQUAL: f64 = 1e-7;

/// Newcombe's hybrid score interval of 95 % for `second - first`, made of the two Wilson intervals
/// (R. G. Newcombe, "Interval Estimation for the Difference Between Independent Proportions",
/// Statistics in Medicine 17, 1998, pages 873 to 890, method 10). Returns the difference, the lower
/// and the upper bound; `None` if one of the rates has no interval.
pub(super) fn interval(first: &Rate, second: &Rate) -> Option<(f64, f64, f64)> {
    let bounds = |rate: &Rate| Some((rate.rate?, rate.low?, rate.high?));
    let ((one, one_low, one_high), (two, two_low, two_high)) = (bounds(first)?, bounds(second)?);
    let difference = two - one;
    let low = difference - (two - two_low).hypot(one_high - one);
    let high = difference + (two_high - two).hypot(one - one_low);
    Some((difference, low.max(-1.0), high.min(1.0)))
}

/// Fisher's exact test, two-sided: the probability, if both rates are equal, of a table with the
/// same sums that is as improbable as this one, or more (R. A. Fisher, "The Logic of Inductive
/// Inference", Journal of the Royal Statistical Society 98, 1935). Of no runs, or no failures, it
/// is 1.
pub(super) fn fisher(first: &Rate, second: &Rate) -> f64 {
    let (n, m) = (first.runs, second.runs);
    let failed = first.failed + second.failed;
    let (least, most) = (failed.saturating_sub(m), failed.min(n));
    // Logarithms of weights relative to that of the observed table, which may be too improbable
    // for a number: of all tables, and of those that count.
    let (mut all, mut tail) = (0.0, 0.0);
    let mut add = |log: f64| {
        all = sum(all, log);
        if log <= EQUAL {
            tail = sum(tail, log);
        }
    };
    // From one table to the next, with one failure more in the first row.
    let ratio = |k: u64| {
        let up = (n - k) as f64 * (failed - k) as f64;
        let down = (k + 1) as f64 * (m + k + 1 - failed) as f64;
        up.ln() - down.ln()
    };
    let mut log = 0.0;
    for k in first.failed..most {
        log += ratio(k);
        add(log);
    }
    log = 0.0;
    for k in (least..first.failed).rev() {
        log -= ratio(k);
        add(log);
    }
    (tail - all).exp().min(1.0)
}

/// The logarithm of the sum of two numbers, of their logarithms.
fn sum(one: f64, two: f64) -> f64 {
    let (small, large) = if one < two { (one, two) } else { (two, one) };
    large + (small - large).exp().ln_1p()
}

/// The p values of several tests, adjusted so that the probability that any of them is small by
/// chance alone stays the same (S. Holm, "A Simple Sequentially Rejective Multiple Test
/// Procedure", Scandinavian Journal of Statistics 6, 1979, pages 65 to 70).
pub(super) fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, two| values[*one].total_cmp(&values[*two]));
    let mut adjusted = vec![1.0; values.len()];
    let mut least: f64 = 0.0;
    for (rank, place) in order.into_iter().enumerate() {
        least = least.max((values.len() - rank) as f64 * values[place]).min(1.0);
        adjusted[place] = least;
    }
    adjusted
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;
