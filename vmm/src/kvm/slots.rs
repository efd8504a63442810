//! Memory slots in addition to those that a [`Vm`] creates for its RAM.

use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, kvm_userspace_memory_region};

use super::{Vm, failed};
use crate::error::{Error, Result};

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
    pub fn log_stores(&self) -> Result<()> {
        for (slot, region) in (0..).zip(self.slots()) {
            self.map(slot, *region, KVM_MEM_LOG_DIRTY_PAGES)?;
        }
        Ok(())
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
        self.map(slot, *region, KVM_MEM_LOG_DIRTY_PAGES)
    }

    fn set_region(&self, region: kvm_userspace_memory_region) -> Result<()> {
        // SAFETY: the region is part of this machine's RAM, which outlives the VM, or is empty. KVM
        // refuses slots whose guest-physical addresses overlap. The RAM is accessed only by
        // volatile copies, so a second mapping of it invalidates no reference.
        unsafe { self.fd().set_user_memory_region(region) }
            .map_err(failed("KVM_SET_USER_MEMORY_REGION"))
    }
}
