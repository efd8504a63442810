//! A cache of decoded instructions, each decoded once for its address.

use std::collections::HashMap;
use std::sync::Arc;

use super::before::before;
use super::{Decoded, linear, look};
use crate::memory::Memory;
use crate::registers::SystemRegisters;

/// The address of an instruction in the guest's code, with its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    linear: u64,
    cr3: u64,
    bits: u32,
}

/// The maximum number of entries in each cache, about 20 MiB in total. A guest with an address
/// space for each of its processes has the same code in many of them; discarded instructions are
/// decoded again.
const MAX_PLACES: usize = 1 << 16;

/// A cache of decoded instructions.
#[derive(Debug, Default)]
pub(crate) struct Instructions {
    known: HashMap<Place, Arc<Decoded>>,
    /// The results of [`before`] for these places.
    before: HashMap<Place, Option<(Arc<Decoded>, bool)>>,
}

impl Instructions {
    /// The instruction at `rip`. `None` if nothing is mapped there, or the bytes are not an
    /// instruction.
    pub(crate) fn at(
        &mut self,
        rip: u64,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Option<Arc<Decoded>> {
        let place = Place::of(rip, system);
        if let Some(known) = self.known.get(&place) {
            return Some(known.clone());
        }
        let decoded = Arc::new(look(rip, system, memory)?);
        make_room(&mut self.known);
        self.known.insert(place, decoded.clone());
        Some(decoded)
    }

    /// The instruction that ends at `rip`, as [`before`] finds it.
    pub(crate) fn before(
        &mut self,
        rip: u64,
        system: &SystemRegisters,
        memory: &Memory,
    ) -> Option<(Arc<Decoded>, bool)> {
        let look = || before(rip, system, memory).map(|(found, sure)| (Arc::new(found), sure));
        make_room(&mut self.before);
        self.before.entry(Place::of(rip, system)).or_insert_with(look).clone()
    }
}

/// Empties a full cache: the contents affect only speed.
fn make_room<T>(places: &mut HashMap<Place, T>) {
    if places.len() >= MAX_PLACES {
        places.clear();
    }
}

impl Place {
    fn of(rip: u64, system: &SystemRegisters) -> Self {
        Self { linear: linear(rip, system), cr3: system.cr3, bits: system.code_bits() }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
