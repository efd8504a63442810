//! Inverse sampling: the rate of failures of a cell that is run until its k-th failure.
//!
//! There the number of failures is fixed and the number of runs n is not, so k / n is too high on
//! average. (k - 1) / (n - 1) is unbiased (J. B. S. Haldane, "On a Method of Estimating
//! Frequencies", Biometrika 33, 1945, pages 222 to 225).

/// The probability beyond each bound: a two-sided interval of 95 %.
const TAIL: f64 = 0.025;
/// Halvings of the interval from 0 to 1 in which a bound is looked for.
const HALVINGS: u32 = 60;

/// The unbiased estimate of the rate if the k-th failure was the n-th run; `None` for the first
/// failure, which says too little.
pub(super) fn estimate(k: u64, n: u64) -> Option<f64> {
    (k >= 2).then(|| (k - 1) as f64 / (n - 1) as f64)
}

/// The exact interval of 95 %. With n or fewer runs until the k-th failure, at least k of n runs
/// fail; with n or more, at most k - 1 of n - 1 runs do. The bounds are the rates for which these
/// two have a probability of 2.5 %: quantiles of Beta(k, n - k + 1) and of Beta(k, n - k).
pub(super) fn interval(k: u64, n: u64) -> (f64, f64) {
    let low = root(|rate| 1.0 - at_most(k - 1, n, rate) < TAIL);
    let high = if k == n { 1.0 } else { root(|rate| at_most(k - 1, n - 1, rate) > TAIL) };
    (low, high)
}

/// The rate up to which `is_below` is true.
fn root(is_below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The probability that at most `failed` of `runs` runs fail, at a rate between 0 and 1. The terms
/// of the sum are logarithms, because the first may be too small for a number.
fn at_most(failed: u64, runs: u64, rate: f64) -> f64 {
    let odds = rate.ln() - (-rate).ln_1p();
    let mut term = runs as f64 * (-rate).ln_1p();
    let mut sum = term;
    for number in 0..failed.min(runs) {
        term += ((runs - number) as f64 / (number + 1) as f64).ln() + odds;
        let (large, small) = if sum > term { (sum, term) } else { (term, sum) };
        sum = large + (small - large).exp().ln_1p();
    }
    sum.exp().min(1.0)
}

#[cfg(test)]
#[path = "inverse_tests.rs"]
mod tests;
