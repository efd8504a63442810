//! INT3 instructions that the host inserts into the guest's code as breakpoints.
//!
//! Only the guest executes and reads them. Every read by the host sees the byte that INT3 replaces,
//! every write goes to that byte, and inserting an INT3 doesn't make its page a written one. So
//! neither hooks nor dumps, snapshots or the decoder know of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_memory::bitmap::Bitmap as _;
use vm_memory::{GuestAddress, GuestMemoryBackend};

use super::Memory;
use crate::error::{Error, Result};

/// The instruction INT3, which is one byte (Intel SDM vol. 2, INT n).
pub(crate) const INT3: u8 = 0xcc;

/// The inserted instructions.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    /// Whether there have ever been any.
    used: AtomicBool,
    /// The byte that each one replaces, by guest-physical address.
    bytes: Mutex<BTreeMap<u64, u8>>,
}

impl Inserted {
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Called before the first vCPU runs that may insert an INT3.
    pub(crate) fn allow_int3(&self) {
        self.inserted.used.store(true, Ordering::Release);
    }

    /// Inserts an INT3 at a guest-physical address.
    pub(crate) fn insert_int3(&self, address: u64) -> Result<()> {
        self.allow_int3();
        let mut inserted = self.inserted.lock();
        if inserted.contains_key(&address) {
            return Ok(());
        }
        let mut byte = [0];
        self.read_all(address, &mut byte)?;
        self.exchange(address, INT3)?;
        inserted.insert(address, byte[0]);
        Ok(())
    }

    /// Removes an INT3 that was inserted.
    pub(crate) fn remove_int3(&self, address: u64) -> Result<()> {
        let mut inserted = self.inserted.lock();
        match inserted.remove(&address) {
            Some(byte) => self.exchange(address, byte),
            None => Ok(()),
        }
    }

    /// Writes a byte without making its page a written one.
    fn exchange(&self, address: u64, byte: u8) -> Result<()> {
        let place = self.map.to_region_addr(GuestAddress(address));
        let Some((region, at)) = place else {
            return Err(Error::Unbacked { address, length: 1 });
        };
        // The double dereference yields the region's own bitmap instead of a slice of it.
        let written = (**region).bitmap();
        let at = at.0 as usize;
        let was_written = written.dirty_at(at);
        self.write_all(address, &[byte])?;
        if !was_written {
            written.forget(at);
        }
        Ok(())
    }

    /// The byte that the guest executes at a guest-physical address.
    #[cfg(test)]
    pub(crate) fn executed(&self, address: u64) -> u8 {
        let mut byte = [0];
        self.read_all(address, &mut byte).unwrap();
        byte[0]
    }

    pub(super) fn read_without_int3(&self, address: u64, buffer: &mut [u8]) -> Result<()> {
        let inserted = self.inserted.lock();
        self.read_all(address, buffer)?;
        let end = address.saturating_add(buffer.len() as u64);
        for (at, byte) in inserted.range(address..end) {
            buffer[(at - address) as usize] = *byte;
        }
        Ok(())
    }

    pub(super) fn write_below_int3(&self, address: u64, data: &[u8]) -> Result<()> {
        let mut inserted = self.inserted.lock();
        let end = address.saturating_add(data.len() as u64);
        if inserted.range(address..end).next().is_none() {
            return self.write_all(address, data);
        }
        let mut data = data.to_vec();
        for (at, byte) in inserted.range_mut(address..end) {
            *byte = std::mem::replace(&mut data[(at - address) as usize], INT3);
        }
        self.write_all(address, &data)
    }
}

#[cfg(test)]
#[path = "int3_tests.rs"]
mod tests;
