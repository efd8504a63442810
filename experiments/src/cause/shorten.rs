//! Shortens a failing schedule switch by switch.

use super::executor::{Executor, Run};
use super::failure::Failure;
use super::switches::{Switching, switches};

/// Removes switches as long as the rest fails in the same way: large groups first, then smaller
/// ones, then single switches, until no switch can be removed, or the executor's runs have passed
/// `until` scheduling points.
pub(super) fn shorten(
    executor: &mut Executor,
    failure: &Failure,
    found: Run,
    until: u64,
) -> vmm::Result<Run> {
    let mut best = found;
    let mut group = switches(&best).len().max(1);
    loop {
        let mut spared = false;
        let mut from = 0;
        while executor.points < until {
            let all = switches(&best);
            if from >= all.len() {
                break;
            }
            let mut fewer = all.clone();
            fewer.drain(from..(from + group).min(all.len()));
            let run = executor.run(&[], &mut Switching(&fewer))?;
            let same = run.failure.as_ref() == Some(failure);
            if same && run.deviations().len() < all.len() {
                best = run;
                spared = true;
            } else {
                from += group;
            }
        }
        if executor.points >= until || group == 1 && !spared {
            return Ok(best);
        }
        group = group.div_ceil(2).max(1);
    }
}
