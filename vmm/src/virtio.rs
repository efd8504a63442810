//! The virtio devices of a machine: where they are, and what they are made of.

use std::sync::Arc;

use devices::bus::Handle;
use devices::device::Wiring;
use devices::virtio::{Block, Mmio, Rng, Slot};
use rand::SeedableRng as _;
use rand::rngs::SysRng;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng as _;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::board::Board;
use crate::config::MachineConfig;
use crate::disk::{OpenDisk, Storage};
use crate::error::{Error, Result};
use crate::memory::{Memory, SharedMemory};
use crate::virtio_slots::{VirtioSlot, others, slots};

/// The most devices: as many as there are lines.
const MOST_DEVICES: usize = 8;

/// Opens the disks of a machine. Fails if one can't be used, or if there are more devices than
/// lines.
pub(crate) fn open_disks(config: &MachineConfig) -> Result<Vec<OpenDisk>> {
    let most = MOST_DEVICES - others(config);
    if let Some(disk) = config.disks.get(most) {
        return Err(Error::Config {
            setting: "--disk",
            value: disk.to_string(),
            problem: format!(
                "one too many: a machine has at most {MOST_DEVICES} virtio devices, which are its \
                 disks, --rng and --virtio-console"
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

/// A device that leaves work behind now and then, because a call has a bound.
pub(crate) struct Deferred {
    /// Readable when there is work.
    pub(crate) bell: Arc<EventFd>,
    /// Does a part of the work.
    pub(crate) perform: Perform,
    /// Whether the work prints: it waits while the reader of the output has no room.
    pub(crate) prints: bool,
}

type Perform = Box<dyn Fn(&Board, &mut Wiring) + Send + Sync>;

/// What the parallel scheduler has to serve.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) disks: Vec<Disk>,
    pub(crate) deferred: Vec<Deferred>,
}

/// Adds the virtio devices to the board.
pub(crate) fn add(
    board: &mut Board,
    config: &MachineConfig,
    disks: Vec<OpenDisk>,
    memory: &Arc<Memory>,
) -> Result<Served> {
    let ram = || SharedMemory(memory.clone());
    let places = slots(config).into_iter();
    let mut places = places.map(|VirtioSlot { address, gsi }| Slot { address, line: gsi });
    let mut served = Served::default();
    for ((open, disk), slot) in disks.into_iter().zip(&config.disks).zip(&mut places) {
        let (bell, wake) = bell()?;
        let name = disk.path.file_name().unwrap_or_default().to_string_lossy();
        let block = Block::new(open.size, open.read_only, &name, wake);
        let device = board.add(Mmio::new(slot, block, ram()), [slot.region()]);
        let Some(device) = device else { continue };
        let (name, storage) = (disk.path.display().to_string(), open.storage);
        served.disks.push(Disk { name, device, storage, bell });
    }
    if config.rng
        && let Some(slot) = places.next()
    {
        let (bell, wake) = bell()?;
        let device = Mmio::new(slot, Rng::new(random()?, wake), ram());
        if let Some(device) = board.add(device, [slot.region()]) {
            let perform: Perform = Box::new(move |board, wiring| {
                board.bus().with(device, |rng| rng.go_on(wiring));
            });
            served.deferred.push(Deferred { bell, perform, prints: false });
        }
    }
    if config.virtio_console
        && let Some(slot) = places.next()
    {
        let (bell, wake) = bell()?;
        board.add_virtio_console(slot, ram(), wake);
        let perform: Perform = Box::new(Board::go_on_with_console);
        served.deferred.push(Deferred { bell, perform, prints: true });
    }
    Ok(served)
}

/// An event, and what sets it.
fn bell() -> Result<(Arc<EventFd>, impl Fn() + Send + 'static)> {
    let bell = EventFd::new(EFD_NONBLOCK)
        .map_err(|source| Error::System { what: "an eventfd can't be made", source })?;
    let bell = Arc::new(bell);
    let ring = bell.clone();
    // The write fails only when the counter is full, and then the bell is readable anyway.
    Ok((bell, move || drop(ring.write(1))))
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

#[cfg(test)]
#[path = "virtio_tests.rs"]
mod tests;
