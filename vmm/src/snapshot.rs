//! The contents of memory in snapshots: each page is copied once and shared by all snapshots that
//! contain it. The cost of a restore is proportional to the pages written since.
//!
//! [`ControlledMachine::save`](crate::controlled::ControlledMachine::save) makes a snapshot of a
//! whole machine; this module handles its memory only.

mod code;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::memory::{Memory, PAGE_SIZE};

pub(crate) use code::changes_extended_state;
pub(crate) use tables::page_tables;

/// The bytes of a page.
type Page = [u8; PAGE_SIZE as usize];

/// The contents of a machine's RAM, by guest-physical page address. A page that is missing is all
/// zeroes, as every page is at first.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<BTreeMap<u64, Arc<Page>>>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({})", self.0.len())
    }
}

impl Pages {
    /// A copy in which the pages at `changed` are as in memory now.
    pub(crate) fn with(&self, changed: &BTreeSet<u64>, memory: &Memory) -> Result<Self> {
        let mut pages = (*self.0).clone();
        for address in changed {
            let mut page = [0; PAGE_SIZE as usize];
            memory.read(*address, &mut page)?;
            let same = pages.get(address).map_or(page == ZEROES, |before| **before == page);
            if !same {
                pages.insert(*address, Arc::new(page));
            }
        }
        Ok(Self(Arc::new(pages)))
    }

    /// Whether both are the same object.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adds the addresses of the pages that differ between the two to `pages`.
    pub(crate) fn differences(&self, other: &Self, pages: &mut BTreeSet<u64>) {
        if self.is(other) {
            return;
        }
        let same = |address: &u64, page: &Arc<Page>, other: &Self| {
            other.0.get(address).is_some_and(|theirs| Arc::ptr_eq(page, theirs))
        };
        for (one, other) in [(self, other), (other, self)] {
            let differing = one.0.iter().filter(|(address, page)| !same(address, page, other));
            pages.extend(differing.map(|(address, _)| *address));
        }
    }

    /// The page at this address.
    pub(crate) fn page(&self, address: u64) -> &Page {
        self.0.get(&address).map_or(&ZEROES, |page| page)
    }

    /// The number of stored pages; all other pages are zeroes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

const ZEROES: Page = [0; PAGE_SIZE as usize];

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
