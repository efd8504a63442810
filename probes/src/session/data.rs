//! Probes at data: what fires at an access to watched memory.
//!
//! A script names linear addresses, the machine watches guest-physical ones. What is between is
//! taken from the guest's image, so an access is seen by whatever address the guest makes it.

use std::ops::Range;
use std::sync::Arc;

use vmm::boot::segments::Segments;
use vmm::hook::{self, Context};

use super::hook::VcpuProbes;
use crate::engine::{Event, Values};
use crate::point::{Access, Address, Point};

/// A range that a script watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) address: Address,
    /// Where it is in guest-physical memory.
    pub(super) physical: Range<u64>,
}

impl Watch {
    /// `None` if it is no point at data. Where its data is was found out when the script was loaded.
    pub(super) fn new(point: Point, segments: &Segments) -> Option<Self> {
        let address = point.address()?;
        if !matches!(address.access, Access::Read | Access::Write) {
            return None;
        }
        let physical = segments.physical(address.start, address.length)?;
        Some(Self { address, physical })
    }

    fn sees(&self, access: &hook::Access) -> bool {
        (self.address.access == Access::Write) == access.write && access.touches(&self.physical)
    }

    /// Its linear address, for one that is seen.
    fn linear(&self, access: &hook::Access) -> u64 {
        let behind = access.address.wrapping_sub(self.physical.start);
        self.address.start.wrapping_add(behind)
    }
}

impl VcpuProbes {
    /// The vCPU has loaded or stored something.
    pub(super) fn accessed(&mut self, access: &hook::Access, context: &mut Context) {
        let mut values = Values::default();
        let common = Arc::clone(&self.common);
        for watch in common.watches.iter().filter(|watch| watch.sees(access)) {
            let point = Point::Address(watch.address);
            let linear = watch.linear(access);
            // A load has no value before it.
            let before = if access.write { access.before } else { 0 };
            let event = Event::new(&[linear, access.size.into(), access.value, before]);
            self.at(point, &event, context, &mut values);
        }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
