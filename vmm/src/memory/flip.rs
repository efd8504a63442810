//! Bits that change by themselves.

use std::sync::atomic::{AtomicU8, Ordering};

use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddress, GuestMemoryBackend as _, VolatileMemory as _};

use super::Memory;
use crate::error::{Error, Result};

impl Memory {
    /// Changes a bit of the byte at guest-physical `address`. Stores of vCPUs to this byte are not
    /// lost, unless jitterbug has put an INT3 somewhere.
    pub(crate) fn flip_bit(&self, address: u64, bit: u8) -> Result<()> {
        let mask = 1 << (bit & 7);
        if self.inserted.is_used() {
            let mut byte = [0];
            self.read(address, &mut byte)?;
            return self.write(address, &[byte[0] ^ mask]);
        }
        let slice = self.map.get_slice(GuestAddress(address), 1);
        let slice = slice.map_err(|_| Error::Unbacked { address, length: 1 })?;
        let byte = slice.get_atomic_ref::<AtomicU8>(0);
        let byte = byte.map_err(|_| Error::Unbacked { address, length: 1 })?;
        byte.fetch_xor(mask, Ordering::SeqCst);
        slice.bitmap().mark_dirty(0, 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySize;

    #[test]
    fn one_bit_changes() {
        let memory = Memory::new(MemorySize::default()).unwrap();
        memory.write(0x1000, &[0x55, 0xaa, 0x55]).unwrap();
        memory.flip_bit(0x1001, 1).unwrap();
        let mut bytes = [0; 3];
        memory.read(0x1000, &mut bytes).unwrap();
        assert_eq!(bytes, [0x55, 0xa8, 0x55]);
        let mut written = Vec::new();
        memory.take_written(|page| written.push(page));
        assert_eq!(written, [0x1000]);
        assert!(memory.flip_bit(1 << 40, 1).is_err());
    }
}
