//! Finds the point of no return: the step after which a failure is inevitable.

use schemars::JsonSchema;
use serde::Serialize;

use super::counterfactual::FailureRate;
use super::executor::Run;
use super::failure::Failure;
use super::force::Rules;
use super::worker_pool::{Order, WorkerPool};

/// The failure rate of runs that follow a schedule for some steps and are then left to chance.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Sample {
    /// The number of steps of the schedule, from where runs begin.
    pub steps: usize,
    /// The results of the runs.
    pub rate: FailureRate,
}

impl Sample {
    /// The failure rate, from 0 to 1.
    pub fn failed(&self) -> f64 {
        f64::from(self.rate.failed) / f64::from(self.rate.runs.max(1))
    }
}

/// Two samples whose rates differ by less count as equal, and nothing is sampled between them.
const SAME_RATE_TOLERANCE: f64 = 0.25;
/// The maximum number of steps that are sampled one by one.
const MAX_SINGLE_SAMPLES: usize = 12;

/// Samples the failure rate along a schedule: at its beginning, at its end, at regular distances,
/// and in between where the rate changes, down to the step after which every run fails.
pub(super) fn failure_rates(
    pool: &mut WorkerPool,
    failure: &Failure,
    run: &Run,
    runs: u32,
    seed: u64,
) -> vmm::Result<Vec<Sample>> {
    let end = run.steps.len();
    // Samples at regular distances, so that a rate that rises and falls again is not missed.
    let stride = (end / MAX_SINGLE_SAMPLES).max(1);
    let mut samples = Vec::new();
    for steps in (0..end).step_by(stride).chain([end]) {
        samples.push(sample(pool, failure, run, steps, runs, seed)?);
    }
    let mut at = 0;
    while at + 1 < samples.len() {
        let (one, two): (Sample, Sample) = (samples[at], samples[at + 1]);
        let differ = (one.failed() - two.failed()).abs() >= SAME_RATE_TOLERANCE
            || jump(&samples).is_some_and(|(before, _)| before.steps == one.steps);
        if differ && two.steps - one.steps > 1 {
            let middle = usize::midpoint(one.steps, two.steps);
            samples.insert(at + 1, sample(pool, failure, run, middle, runs, seed)?);
        } else {
            at += 1;
        }
    }
    Ok(samples)
}

/// The last sample whose rate is below that of the end, and the next one: the failure is inevitable
/// from there on.
pub(super) fn jump(samples: &[Sample]) -> Option<(Sample, Sample)> {
    let end = samples.last()?;
    let last = samples.iter().rposition(|sample| sample.failed() < end.failed())?;
    Some((samples[last], *samples.get(last + 1)?))
}

fn sample(
    pool: &mut WorkerPool,
    failure: &Failure,
    run: &Run,
    steps: usize,
    runs: u32,
    seed: u64,
) -> vmm::Result<Sample> {
    let order = Order { failure, rules: &Rules::default(), behind: Some((run, steps)), seed };
    Ok(Sample { steps, rate: pool.make(order, 0..runs)? })
}

#[cfg(test)]
#[path = "point_of_no_return_tests.rs"]
mod tests;
