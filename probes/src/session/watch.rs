//! What a script watches of the guest's memory.

use std::ops::Range;

use vmm::boot::segments::Segments;
use vmm::hook;

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

    pub(super) fn sees(&self, access: &hook::Access) -> bool {
        (self.address.access == Access::Write) == access.write && access.touches(&self.physical)
    }

    /// The linear address of an access that this range sees.
    pub(super) fn linear(&self, access: &hook::Access) -> u64 {
        let behind = access.address.wrapping_sub(self.physical.start);
        self.address.start.wrapping_add(behind)
    }
}
