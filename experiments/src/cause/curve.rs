//! When a failure became inevitable.

use schemars::JsonSchema;
use serde::Serialize;

use super::counterfactual::Share;
use super::crew::{Crew, Order};
use super::failure::Failure;
use super::force::Rules;
use super::lab::Run;

/// What came of runs that follow a schedule for some steps, and are left to chance then.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Sample {
    /// How many steps of the schedule, from where runs begin.
    pub steps: usize,
    /// What came of them.
    pub share: Share,
}

impl Sample {
    /// The share that failed, from 0 to 1.
    pub fn failed(&self) -> f64 {
        f64::from(self.share.failed) / f64::from(self.share.runs.max(1))
    }
}

/// Two samples that differ by less are taken for the same, and nothing is sampled between them.
const SAME: f64 = 0.25;
/// The most steps that are sampled one by one.
const DENSE: usize = 12;

/// Samples a schedule: its beginning and its end, and between them where the share changes, down to
/// the step behind which there is no way out.
pub(super) fn curve(
    crew: &mut Crew,
    failure: &Failure,
    run: &Run,
    runs: u32,
    seed: u64,
) -> vmm::Result<Vec<Sample>> {
    let end = run.steps.len();
    // One out of so many, so that what goes up and down again is not passed over.
    let stride = (end / DENSE).max(1);
    let mut samples = Vec::new();
    for steps in (0..end).step_by(stride).chain([end]) {
        samples.push(sample(crew, failure, run, steps, runs, seed)?);
    }
    let mut at = 0;
    while at + 1 < samples.len() {
        let (one, two): (Sample, Sample) = (samples[at], samples[at + 1]);
        let differ = (one.failed() - two.failed()).abs() >= SAME
            || jump(&samples).is_some_and(|(before, _)| before.steps == one.steps);
        if differ && two.steps - one.steps > 1 {
            let middle = usize::midpoint(one.steps, two.steps);
            samples.insert(at + 1, sample(crew, failure, run, middle, runs, seed)?);
        } else {
            at += 1;
        }
    }
    Ok(samples)
}

/// The last sample that is not the end's share, and the next one: from there on it is inevitable.
pub(super) fn jump(samples: &[Sample]) -> Option<(Sample, Sample)> {
    let end = samples.last()?;
    let last = samples.iter().rposition(|sample| sample.failed() < end.failed())?;
    Some((samples[last], *samples.get(last + 1)?))
}

fn sample(
    crew: &mut Crew,
    failure: &Failure,
    run: &Run,
    steps: usize,
    runs: u32,
    seed: u64,
) -> vmm::Result<Sample> {
    let order = Order { failure, rules: &Rules::default(), behind: Some((run, steps)), seed };
    Ok(Sample { steps, share: crew.make(order, 0..runs)? })
}

#[cfg(test)]
#[path = "curve_tests.rs"]
mod tests;
