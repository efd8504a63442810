//! Instructions of the guest that were replaced by others, and the code as it was loaded.
//!
//! Memory contains the replacements, which the guest executes (and could read). Code that decodes
//! the guest's instructions, or writes them to a dump, reads them [as they were loaded](AsLoaded).

use super::Memory;
use crate::error::Result;
use crate::paging::PhysicalMemory;

/// An instruction that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patch {
    /// The guest-physical address.
    address: u64,
    loaded: Vec<u8>,
    replaced: Vec<u8>,
}

impl Patch {
    fn end(&self) -> u64 {
        self.address + self.loaded.len() as u64
    }
}

/// All replaced instructions, in ascending order of their addresses.
#[derive(Debug, Default)]
pub(super) struct Patches(Vec<Patch>);

/// Guest memory with the loaded code in place of the replacements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsLoaded<'a>(pub(crate) &'a Memory);

impl Memory {
    /// Replaces an instruction by another of the same length. Call this before the code is read.
    pub(crate) fn patch(&mut self, address: u64, replaced: &[u8]) -> Result<()> {
        let mut loaded = vec![0; replaced.len()];
        self.read(address, &mut loaded)?;
        self.write(address, replaced)?;
        let patches = &mut self.patches.0;
        let at = patches.partition_point(|patch| patch.address < address);
        patches.insert(at, Patch { address, loaded, replaced: replaced.to_vec() });
        Ok(())
    }

    /// Restores the loaded code wherever its replacement is still in memory.
    pub(crate) fn unpatch(&self) -> Result<()> {
        for patch in &self.patches.0 {
            let mut now = vec![0; patch.replaced.len()];
            self.read(patch.address, &mut now)?;
            if now == patch.replaced {
                self.write(patch.address, &patch.loaded)?;
            }
        }
        Ok(())
    }

    /// Whether a replaced instruction begins at this address.
    pub(crate) fn is_patched(&self, address: u64) -> bool {
        self.patches.0.iter().any(|patch| patch.address == address)
    }

    /// The number of replaced instructions.
    pub(crate) fn patched(&self) -> usize {
        self.patches.0.len()
    }

    /// Guest memory with the loaded code in place of the replacements.
    pub(crate) fn as_loaded(&self) -> AsLoaded<'_> {
        AsLoaded(self)
    }
}

impl AsLoaded<'_> {
    /// Fills `buffer` from guest-physical `address`.
    pub(crate) fn read(self, address: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read(address, buffer)?;
        let end = address.saturating_add(buffer.len() as u64);
        let patches = &self.0.patches.0;
        let first = patches.partition_point(|patch| patch.end() <= address);
        for patch in patches[first..].iter().take_while(|patch| patch.address < end) {
            let bytes = patch.loaded.iter().zip(&patch.replaced);
            for (at, (loaded, replaced)) in (patch.address..).zip(bytes) {
                let byte = at.checked_sub(address).and_then(|i| buffer.get_mut(i as usize));
                if let Some(byte) = byte.filter(|byte| *byte == replaced) {
                    *byte = *loaded;
                }
            }
        }
        Ok(())
    }
}

impl PhysicalMemory for AsLoaded<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        AsLoaded::read(*self, address, buffer).is_ok()
    }
}

#[cfg(test)]
#[path = "patched_tests.rs"]
mod tests;
