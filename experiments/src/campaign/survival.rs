//! How long runs last until they fail.

/// How a run ended, for the time to failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It failed.
    Failed,
    /// It passed, so it never fails.
    Passed,
    /// It was ended at the time limit, so it is not known when it would have failed.
    Limited,
}

/// A step of a survival curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The time from the start of a run, in seconds.
    pub seconds: f64,
    /// The estimated share of runs that have not failed up to this time, and at it.
    pub survival: f64,
}

/// The share of runs that have not failed by a time: 1 less the cumulative incidence of failures
/// (O. O. Aalen and S. Johansen, "An Empirical Transition Matrix for Non-homogeneous Markov Chains
/// Based on Censored Observations", Scandinavian Journal of Statistics 5, 1978, pages 141 to 150).
/// There is a step for each time at which runs failed.
///
/// A run at the time limit is censored. A run that passed is not: it can't fail any more, and stays
/// among those that have not failed. If none passed, this is the estimate of Kaplan and Meier,
/// which would fall to 0 with the last failure if the runs that passed were censored.
pub fn survival(runs: &[(f64, Outcome)]) -> Vec<Step> {
    let mut runs = runs.to_vec();
    runs.sort_by(|one, two| one.0.total_cmp(&two.0));
    // The share that has failed, and the share that goes on.
    let (mut failed, mut going) = (0.0, 1.0);
    let mut steps = Vec::new();
    let mut rest = &*runs;
    while let Some((seconds, _)) = rest.first() {
        let same = rest.partition_point(|run| run.0 <= *seconds).max(1);
        let count = |outcome| rest[..same].iter().filter(|run| run.1 == outcome).count() as f64;
        let at_risk = rest.len() as f64;
        let failures = count(Outcome::Failed);
        if failures > 0.0 {
            failed += going * failures / at_risk;
            steps.push(Step { seconds: *seconds, survival: (1.0 - failed).max(0.0) });
        }
        going *= 1.0 - (failures + count(Outcome::Passed)) / at_risk;
        rest = &rest[same..];
    }
    steps
}

#[cfg(test)]
#[path = "survival_tests.rs"]
mod tests;
