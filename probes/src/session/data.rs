//! Probes at data: what fires when a vCPU accesses watched memory.
//!
//! A script names linear addresses, and the machine watches guest-physical addresses. The mapping
//! from one to the other is taken from the guest's image, so an access is seen whatever linear
//! address the guest uses for it.

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
    /// The range in guest-physical memory.
    pub(super) physical: Range<u64>,
}

impl Watch {
    /// `None` if the point isn't a point at data. The place of its data was checked when the script
    /// was loaded.
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

    /// The linear address of an access that this range sees.
    fn linear(&self, access: &hook::Access) -> u64 {
        let behind = access.address.wrapping_sub(self.physical.start);
        self.address.start.wrapping_add(behind)
    }
}

impl VcpuProbes {
    /// Fires the probes at the data that the vCPU has loaded or stored.
    pub(super) fn accessed(&mut self, access: &hook::Access, context: &mut Context) {
        let mut values = Values::default();
        let common = Arc::clone(&self.common);
        for watch in common.watches.iter().filter(|watch| watch.sees(access)) {
            let point = Point::Address(watch.address);
            let linear = watch.linear(access);
            // For a load there is no earlier value.
            let before = if access.write { access.before } else { 0 };
            let event = Event::new(&[linear, access.size.into(), access.value, before]);
            self.at(point, &event, context, &mut values);
        }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
