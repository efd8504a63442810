//! Names of functions in a kernel's modules, remembered for the stacks that were unwound.
//!
//! A module's names are read when a stack is unwound: later, the module may be gone. But a script's
//! stack is printed later, from its addresses alone. So each address of a stack is remembered with
//! what was there, and if it was not always the same, it has no name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::linux::Found;

/// The most addresses that are remembered. Others get no name.
const MAX_ADDRESSES: usize = 1 << 14;

/// What was at the addresses of stacks.
#[derive(Debug, Default)]
pub(crate) struct Learned(BTreeMap<u64, Known>);

/// What was at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// A function of a module.
    Function(Arc<Found>),
    /// Nothing that has a name.
    Nameless,
    /// Different things at different times.
    Changed,
}

impl Learned {
    /// Adds what was found at an address.
    pub(crate) fn add(&mut self, address: u64, found: Option<Found>) {
        let has_room = self.0.len() < MAX_ADDRESSES;
        match self.0.entry(address) {
            Entry::Occupied(mut known) => {
                let is_same = match known.get() {
                    Known::Function(function) => found.as_ref() == Some(&**function),
                    Known::Nameless => found.is_none(),
                    Known::Changed => true,
                };
                if !is_same {
                    known.insert(Known::Changed);
                }
            }
            Entry::Vacant(place) if has_room => {
                let function = |found| Known::Function(Arc::new(found));
                place.insert(found.map_or(Known::Nameless, function));
            }
            Entry::Vacant(_) => {}
        }
    }

    /// What was at this address; `None` if no stack had it.
    pub(crate) fn get(&self, address: u64) -> Option<&Known> {
        self.0.get(&address)
    }
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
