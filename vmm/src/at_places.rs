//! Ends a run at an instruction that a criterion names.

use std::sync::Arc;

use crate::criteria::Criteria;
use crate::hook::{Attach, Context, Hook, Points, Verdict};

/// The instructions of the criteria, as a hook on each vCPU.
#[derive(Clone, Debug)]
pub(crate) struct AtPlaces {
    criteria: Arc<Criteria>,
    addresses: Arc<[u64]>,
}

impl AtPlaces {
    /// `None` if no criterion names an instruction.
    pub(crate) fn of(criteria: &Criteria) -> Option<Self> {
        let places = criteria.ok_at.iter().chain(&criteria.fail_at);
        let addresses: Arc<[u64]> = places.map(|place| place.address).collect();
        criteria.has_places().then(|| Self { criteria: Arc::new(criteria.clone()), addresses })
    }

    /// The number of these instructions.
    pub(crate) fn count(&self) -> usize {
        self.addresses.len()
    }
}

impl Attach for AtPlaces {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for AtPlaces {
    fn points(&self) -> Points {
        Points::BREAKPOINT
    }

    fn breakpoints(&self) -> &[u64] {
        &self.addresses
    }

    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        if let (Some(met), Some(wanted)) = (self.criteria.met_at(address), &mut context.actions) {
            wanted.end(met);
        }
        Verdict::Continue
    }
}
