//! The virtio devices of a machine: where they are, and what they are made of.

use std::sync::Arc;

use devices::bus::Handle;
use devices::virtio::{Block, Mmio, Ram, Rng, Slot};
use rand::SeedableRng as _;
use rand::rngs::SysRng;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng as _;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::board::Board;
use crate::config::MachineConfig;
use crate::disk::{OpenDisk, Storage};
use crate::error::{Error, Result};
use crate::memory::{Memory, WrittenPages};
use crate::virtio_slots::{VirtioSlot, slots};

/// The most devices: as many as there are lines.
const MOST_DEVICES: usize = 8;

/// Opens the disks of a machine. Fails if one can't be used, or if there are more devices than
/// lines.
pub(crate) fn open_disks(config: &MachineConfig) -> Result<Vec<OpenDisk>> {
    let most = MOST_DEVICES - usize::from(config.rng);
    if let Some(disk) = config.disks.get(most) {
        return Err(Error::Config {
            setting: "--disk",
            value: disk.to_string(),
            problem: format!(
                "one too many: a machine has at most {MOST_DEVICES} disks, or {} and --rng",
                MOST_DEVICES - 1
            ),
        });
    }
    config.disks.iter().map(OpenDisk::open).collect()
}

/// The device of a disk.
pub(crate) type DiskDevice = Mmio<Block, SharedMemory>;

/// A disk of a machine.
pub(crate) struct Disk {
    /// The name that messages use: the file's.
    pub(crate) name: String,
    /// Its device.
    pub(crate) device: Handle<DiskDevice>,
    /// Its contents.
    pub(crate) storage: Box<dyn Storage>,
    /// Readable when the device may have a job.
    pub(crate) bell: Arc<EventFd>,
}

/// Adds the virtio devices to the board.
pub(crate) fn add(
    board: &mut Board,
    config: &MachineConfig,
    disks: Vec<OpenDisk>,
    memory: &Arc<Memory>,
) -> Result<Vec<Disk>> {
    let ram = || SharedMemory(memory.clone());
    let places = slots(config).into_iter();
    let mut places = places.map(|VirtioSlot { address, gsi }| Slot { address, line: gsi });
    let mut added = Vec::new();
    for ((open, disk), slot) in disks.into_iter().zip(&config.disks).zip(&mut places) {
        let bell = EventFd::new(EFD_NONBLOCK)
            .map_err(|source| Error::System { what: "an eventfd can't be made", source })?;
        let bell = Arc::new(bell);
        let ring = bell.clone();
        // The write fails only when the counter is full, and then the bell is readable anyway.
        let wake = move || drop(ring.write(1));
        let name = disk.path.file_name().unwrap_or_default().to_string_lossy();
        let block = Block::new(open.size, open.read_only, &name, wake);
        let device = board.add(Mmio::new(slot, block, ram()), [slot.region()]);
        let Some(device) = device else { continue };
        let (name, storage) = (disk.path.display().to_string(), open.storage);
        added.push(Disk { name, device, storage, bell });
    }
    if let Some(slot) = places.next() {
        board.add(Mmio::new(slot, Rng::new(random()?), ram()), [slot.region()]);
    }
    Ok(added)
}

/// A source of random bytes that never waits: a generator with a seed of the host's.
fn random() -> Result<impl FnMut(&mut [u8]) + Send + 'static> {
    let what = "the host gives no random numbers";
    let seeded = ChaCha12Rng::try_from_rng(&mut SysRng);
    let mut generator = seeded.map_err(|error| Error::System {
        what,
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(move |bytes: &mut [u8]| generator.fill_bytes(bytes))
}

/// The guest's memory, for devices. Breakpoints in the guest's code stay invisible to them.
pub(crate) struct SharedMemory(Arc<Memory>);

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

#[cfg(test)]
#[path = "virtio_tests.rs"]
mod tests;
