//! The pages of RAM that have no memory slot.

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::paging;

/// The trapped pages. They change only while no vCPU runs.
#[derive(Debug, Default)]
pub(super) struct TrappedPages(RwLock<Ranges>);

#[derive(Debug, Default)]
struct Ranges {
    /// In ascending order; one entry for each range that was added, so pages may occur repeatedly.
    trapped: Vec<Range<u64>>,
    /// The pages of ranges that were removed.
    released: Vec<Range<u64>>,
}

impl TrappedPages {
    /// Adds the pages of a range.
    pub(super) fn add(&self, range: &Range<u64>) {
        let mut ranges = self.write();
        ranges.trapped.push(paging::pages(range));
        ranges.trapped.sort_by_key(|range| range.start);
    }

    /// Removes the pages of a range that was added, except for those that another range has.
    pub(super) fn remove(&self, range: &Range<u64>) {
        let (mut ranges, pages) = (self.write(), paging::pages(range));
        if let Some(place) = ranges.trapped.iter().position(|known| *known == pages) {
            ranges.trapped.remove(place);
            if !ranges.released.contains(&pages) {
                ranges.released.push(pages);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().trapped.is_empty()
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        contain(&self.read().trapped, address)
    }

    /// Whether the page is trapped, or was before.
    pub(super) fn may_exit(&self, address: u64) -> bool {
        let ranges = self.read();
        contain(&ranges.trapped, address) || contain(&ranges.released, address)
    }

    /// All ranges, in ascending order.
    pub(super) fn all(&self) -> Vec<Range<u64>> {
        self.read().trapped.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Ranges> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ranges> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contain(ranges: &[Range<u64>], address: u64) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

#[cfg(test)]
#[path = "trapped_pages_tests.rs"]
mod tests;
