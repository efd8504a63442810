//! The last store to each shared location.

use std::collections::BTreeMap;

use crate::exit::Bytes;

/// A store to shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The guest-physical address.
    pub address: u64,
    /// The value that was stored.
    pub value: Bytes,
    /// The vCPU that stored it.
    pub vcpu: u32,
    /// The vCPU's RIP at the exit: behind the instruction for a plain store, at it for a locked
    /// one.
    pub rip: u64,
    /// The number of the scheduling point.
    pub point: u64,
}

/// The last store to each address.
#[derive(Clone, Debug, Default)]
pub(super) struct Writers {
    stores: BTreeMap<u64, Store>,
}

impl Writers {
    pub(super) fn put(&mut self, store: Store) {
        self.stores.insert(store.address, store);
    }

    /// The latest store that touches these bytes.
    pub(super) fn last(&self, address: u64, length: usize) -> Option<&Store> {
        let end = address + length as u64;
        // No access is longer than 8 bytes.
        self.stores
            .range(address.saturating_sub(7)..end)
            .map(|(_, store)| store)
            .filter(|store| store.address + store.value.len() as u64 > address)
            .max_by_key(|store| store.point)
    }
}
