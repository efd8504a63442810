//! What a script watches of the guest's memory.

use std::ops::Range;

use vmm::boot::segments::Segments;
use vmm::hook::{self, Values, Watch};

use crate::code::Code;
use crate::point::{Access, Address, Point};

/// A point at data: a range that a script watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataPoint {
    pub(super) address: Address,
    /// The range in guest-physical memory.
    pub(super) physical: Range<u64>,
}

impl DataPoint {
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

    /// What a scheduler has to watch for the probes of a script at this point.
    pub(super) fn watch(&self, code: &Code) -> Watch {
        const VALUE: u16 = 1 << 2;
        const BEFORE: u16 = 1 << 3;
        let stores = self.address.access == Access::Write;
        let here = code.probes.iter().filter(|it| it.point == Point::Address(self.address));
        let used = here.map(|probe| code.arguments(probe)).fold(0, |all, used| all | used);
        // A load has no value before.
        let values = match (stores, used & VALUE != 0, used & BEFORE != 0) {
            (true, _, true) | (false, true, _) => Values::All,
            (true, true, false) => Values::OfStores,
            _ => Values::Unused,
        };
        let linear = Some(self.address.start);
        Watch { physical: self.physical.clone(), linear, loads: !stores, stores, values }
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
