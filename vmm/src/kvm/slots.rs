//! Memory slots in addition to those that a [`Vm`] creates for its RAM.

use std::ops::Range;

use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, kvm_userspace_memory_region};

use super::{Vm, failed};
use crate::error::{Error, Result};
use crate::memory::Region;

/// A part of a machine's RAM that is mapped at an additional guest-physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// KVM's number of the slot; the RAM's own slots have the lowest numbers.
    pub number: u32,
    /// The guest-physical address of the slot.
    pub address: u64,
    /// The guest-physical address of the same bytes in the RAM.
    pub source: u64,
    /// The size in bytes, a multiple of the page size.
    pub size: u64,
    /// How KVM treats stores.
    pub stores: Stores,
}

/// How KVM treats stores to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// It executes them.
    Plain,
    /// It executes them, and records the page in the slot's dirty log.
    Logged,
    /// It exits as for MMIO: the slot is read-only.
    Exit,
}

impl Vm {
    /// Adds a slot.
    pub fn add_slot(&self, slot: &Slot) -> Result<()> {
        let outside = || Error::Unbacked { address: slot.source, length: slot.size as usize };
        let end = slot.source.checked_add(slot.size).ok_or_else(outside)?;
        let region = self
            .memory()
            .regions()
            .find(|region| region.start <= slot.source && end <= region.start + region.size)
            .ok_or_else(outside)?;
        self.set_region(kvm_userspace_memory_region {
            slot: slot.number,
            flags: match slot.stores {
                Stores::Plain => 0,
                Stores::Logged => KVM_MEM_LOG_DIRTY_PAGES,
                Stores::Exit => KVM_MEM_READONLY,
            },
            guest_phys_addr: slot.address,
            memory_size: slot.size,
            userspace_addr: region.host + (slot.source - region.start),
        })
    }

    /// The first slot number above those of the RAM's own slots.
    pub(crate) fn free_slot(&self) -> u32 {
        self.slots().len() as u32
    }

    /// Removes a slot: its addresses then have no memory slot.
    pub fn remove_slot(&self, slot: &Slot) -> Result<()> {
        self.set_region(kvm_userspace_memory_region { slot: slot.number, ..Default::default() })
    }

    /// The pages of a [logged](Stores::Logged) slot that were stored to since the last call, one
    /// bit each.
    pub fn take_dirty_log(&self, slot: &Slot) -> Result<Vec<u64>> {
        self.fd()
            .get_dirty_log(slot.number, slot.size as usize)
            .map_err(failed("KVM_GET_DIRTY_LOG"))
    }

    /// Has KVM log which pages of the RAM's own slots the guest stores to.
    pub fn log_stores(&mut self) -> Result<()> {
        self.logs = true;
        self.map_all()
    }

    /// Makes these ranges of the RAM, in whole pages, read-only for the guest: its stores there
    /// exit as for MMIO. Returns whether the slots were changed; KVM's dirty log is then empty. No
    /// vCPU may run meanwhile.
    pub(crate) fn protect(&mut self, ranges: &[Range<u64>]) -> Result<bool> {
        if ranges.iter().all(|range| self.read_only.contains(range)) {
            return Ok(false);
        }
        self.read_only = ranges.to_vec();
        self.read_only.sort_by_key(|range| range.start);
        self.remap()?;
        Ok(true)
    }

    /// Makes the slots of the RAM anew, after the memory's trapped pages have changed. KVM's dirty
    /// log is then empty. No vCPU may run meanwhile.
    pub(crate) fn remap(&mut self) -> Result<()> {
        for slot in 0..self.free_slot() {
            self.set_region(kvm_userspace_memory_region { slot, ..Default::default() })?;
        }
        let slots = self.memory().slots();
        self.set_slots(slots.iter().flat_map(|slot| cut(*slot, &self.read_only)).collect());
        self.map_all()
    }

    fn map_all(&self) -> Result<()> {
        (0..).zip(self.slots()).try_for_each(|(slot, region)| self.map_again(slot, *region))
    }

    /// Maps one of the RAM's own slots.
    fn map_again(&self, slot: u32, region: Region) -> Result<()> {
        let read_only = self.read_only.iter().any(|range| range.contains(&region.start));
        let logs = if self.logs { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
        self.map(slot, region, logs | if read_only { KVM_MEM_READONLY } else { 0 })
    }

    /// Makes KVM and the processors discard cached translations. Call this when a page table has
    /// been written without the guest's knowledge.
    ///
    /// Removing a slot has this effect (`kvm_arch_flush_shadow_memslot`), and no other call has it
    /// on every host.
    pub(crate) fn forget_translations(&self) -> Result<()> {
        let slots = (0..).zip(self.slots());
        let smallest = slots.min_by_key(|(_, region)| region.size);
        let Some((slot, region)) = smallest else { return Ok(()) };
        self.set_region(kvm_userspace_memory_region { slot, ..Default::default() })?;
        self.map_again(slot, *region)
    }

    fn set_region(&self, region: kvm_userspace_memory_region) -> Result<()> {
        // SAFETY: the region is part of this machine's RAM, which outlives the VM, or is empty. KVM
        // refuses slots whose guest-physical addresses overlap. The RAM is accessed only by
        // volatile copies, so a second mapping of it invalidates no reference.
        unsafe { self.fd().set_user_memory_region(region) }
            .map_err(failed("KVM_SET_USER_MEMORY_REGION"))
    }
}

/// The parts of a region inside and outside these ranges, which are in ascending order.
fn cut(region: Region, ranges: &[Range<u64>]) -> Vec<Region> {
    let end = region.start + region.size;
    let inside = ranges.iter().flat_map(|range| [range.start, range.end]);
    let mut edges: Vec<u64> = inside.filter(|edge| (region.start..end).contains(edge)).collect();
    edges.extend([region.start, end]);
    edges.sort_unstable();
    edges.dedup();
    let part = |edges: &[u64]| Region {
        start: edges[0],
        size: edges[1] - edges[0],
        host: region.host + (edges[0] - region.start),
    };
    edges.windows(2).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_cut_at_the_ranges() {
        let region = Region { start: 0x1000, size: 0x8000, host: 0x7_0000 };
        let parts = |ranges: &[Range<u64>]| -> Vec<(u64, u64, u64)> {
            cut(region, ranges).iter().map(|part| (part.start, part.size, part.host)).collect()
        };
        assert_eq!(parts(&[]), [(0x1000, 0x8000, 0x7_0000)]);
        assert_eq!(
            parts(&[0..0x2000, 0x4000..0x5000, 0x8000..0xa000]),
            [
                (0x1000, 0x1000, 0x7_0000),
                (0x2000, 0x2000, 0x7_1000),
                (0x4000, 0x1000, 0x7_3000),
                (0x5000, 0x3000, 0x7_4000),
                (0x8000, 0x1000, 0x7_7000)
            ]
        );
    }
}
