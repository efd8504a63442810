//! Guest memory, as devices reach it.

use std::sync::Arc;

use devices::virtio::Ram;
use vm_memory::GuestMemoryMmap;

use super::{Memory, WrittenPages};

/// The guest's memory, for devices. Breakpoints in the guest's code stay invisible to them.
pub(crate) struct SharedMemory(pub(crate) Arc<Memory>);

impl Ram for SharedMemory {
    type Map = GuestMemoryMmap<WrittenPages>;

    fn map(&self) -> &Self::Map {
        self.0.map()
    }

    fn read(&self, address: u64, data: &mut [u8]) -> bool {
        self.0.read(address, data).is_ok()
    }

    fn write(&self, address: u64, data: &[u8]) -> bool {
        self.0.write(address, data).is_ok()
    }
}
