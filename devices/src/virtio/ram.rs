//! Guest memory, as devices reach it.

use vm_memory::GuestMemory;

/// Guest memory, as virtio devices access it.
pub trait Ram: Send + 'static {
    /// The mapping of the memory.
    type Map: GuestMemory;

    /// The mapping, for the rings of the queues.
    fn map(&self) -> &Self::Map;

    /// Fills `data` from guest-physical `address`. False if there is no memory.
    fn read(&self, address: u64, data: &mut [u8]) -> bool;

    /// Writes `data` at guest-physical `address`. False if there is no memory.
    fn write(&self, address: u64, data: &[u8]) -> bool;
}
