//! Where the virtio devices of a machine are: what puts them on the bus and what tells the guest of
//! them have it from here.

use crate::config::MachineConfig;

/// The guest-physical address of the first device's registers: among the device addresses, below
/// the IOAPIC.
const FIRST_ADDRESS: u64 = 0xd000_0000;
/// The interrupt line of the first device: the first that is not one of ISA's. The IOAPIC has 24.
const FIRST_GSI: u32 = 16;

/// Where a virtio device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtioSlot {
    /// The guest-physical address of its registers, which take
    /// [`REGION_SIZE`](devices::virtio::REGION_SIZE) bytes.
    pub(crate) address: u64,
    /// Its interrupt line, which is edge-triggered: a pin of the IOAPIC.
    pub(crate) gsi: u32,
}

/// The places of a machine's virtio devices: the disks in their order, then the entropy source,
/// then the console.
pub(crate) fn slots(config: &MachineConfig) -> Vec<VirtioSlot> {
    let count = config.disks.len() + others(config);
    let slot = |number| VirtioSlot {
        address: FIRST_ADDRESS + u64::from(number) * devices::virtio::REGION_SIZE,
        gsi: FIRST_GSI + number,
    };
    (0..count as u32).map(slot).collect()
}

/// The number of the virtio devices that are no disks.
pub(crate) fn others(config: &MachineConfig) -> usize {
    usize::from(config.rng) + usize::from(config.virtio_console)
}
