//! A run that failed, and the finding that describes it.

use vmm::fault::Strike;
use vmm::{Cancel, Host};

use super::Hunt;
use super::fault_effects::{Failure, effects};
use crate::finding::{Finding, Machine, Search};
use crate::replay::{Divergence, Recorded, Replay, survey};
use crate::waits::{Names, Row};

/// A run that failed.
pub(super) struct Failed<'a> {
    pub(super) recorded: &'a Recorded,
    pub(super) strikes: &'a [Strike],
    pub(super) waits: Vec<Row>,
}

impl Failed<'_> {
    /// Repeats the run, also without each of its faults, and describes it. The second value is the
    /// difference to the repeated run, if there was one. If this is cancelled, the finding lacks
    /// the segment ends, or whether the failure needs its faults.
    pub(super) fn finding(
        self,
        host: &Host,
        hunt: &Hunt,
        names: &Names,
        run: u64,
        cancel: &Cancel,
    ) -> vmm::Result<(Finding, Option<Divergence>)> {
        let Self { recorded, strikes, waits } = self;
        let survey = survey(host, recorded, &hunt.machine, names.symbols, cancel);
        let (divergence, ends) = match survey {
            Ok((Replay { divergence: None, .. }, ends)) => (None, ends),
            Ok((Replay { divergence, .. }, _)) => (divergence, Vec::new()),
            Err(vmm::Error::Cancelled) => (None, Vec::new()),
            Err(error) => return Err(error),
        };
        let failure = Failure { recorded, waits: &waits };
        let faults = effects(host, &failure, &hunt.machine, strikes, names, cancel);
        let finding = Finding {
            version: Finding::VERSION,
            verdict: recorded.verdict.clone(),
            schedule: recorded.schedule.to_string(),
            machine: Machine::of(&hunt.machine),
            search: Search {
                strategy: hunt.strategy.kind().to_string(),
                seed: hunt.seed,
                depth: hunt.strategy.depth(),
                run,
            },
            run: recorded.run(&ends),
            faults,
            waits,
            observed: None,
        };
        Ok((finding, divergence))
    }
}
