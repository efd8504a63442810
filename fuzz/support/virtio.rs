//! A guest that drives a virtio device as its input says: it writes its memory, its rings and the
//! device's registers, and notifies. Now and then it initialises the device as it should, so that
//! an input gets beyond the status register.

use devices::device::{Address, Clock, Device, InterruptController, Wiring};
use devices::virtio::{DeviceType, Mmio, Ram, Slot};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const SLOT: Slot = Slot { address: 0xd000_0000, line: 16 };
/// The bytes of memory: an input's 16-bit addresses reach all of it, and nothing else is there.
const MEMORY: usize = 1 << 16;
/// The parts of queue 0, side by side, so that an input overlays them easily. Those of the next
/// queue are [`QUEUE_BYTES`] behind.
const DESCRIPTORS: u32 = 0;
const AVAILABLE: u32 = 0x80;
const USED: u32 = 0xa0;
const QUEUE_BYTES: u32 = 0x100;
const QUEUE_SIZE: u32 = 8;

/// The memory of the guest.
#[derive(Clone)]
pub struct Memory(GuestMemoryMmap);

impl Ram for Memory {
    type Map = GuestMemoryMmap;

    fn map(&self) -> &Self::Map {
        &self.0
    }

    fn read(&self, address: u64, data: &mut [u8]) -> bool {
        self.0.read_slice(data, GuestAddress(address)).is_ok()
    }

    fn write(&self, address: u64, data: &[u8]) -> bool {
        self.0.write_slice(data, GuestAddress(address)).is_ok()
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> u64 {
        0
    }
}

/// Lines are only pulsed: they rise and fall again.
#[derive(Default)]
struct Lines(bool);

impl InterruptController for Lines {
    fn set_line(&mut self, line: u32, high: bool) {
        assert!(line == SLOT.line && high != self.0);
        self.0 = high;
    }
}

/// The guest and its device.
pub struct Guest<T> {
    device: Mmio<T, Memory>,
    /// The features of the device type.
    features: u32,
    memory: Memory,
    lines: Lines,
}

impl<T: DeviceType> Guest<T> {
    /// A guest whose device is initialised.
    pub fn new(kind: T) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let memory = Memory(memory);
        let features = kind.features() as u32;
        let device = Mmio::new(SLOT, kind, memory.clone());
        let mut guest = Self { device, features, memory, lines: Lines::default() };
        guest.initialise(!0);
        guest
    }

    /// Does what the input says. `work` is called with the device between the steps.
    pub fn run(
        &mut self,
        input: &[u8],
        mut work: impl FnMut(&mut Mmio<T, Memory>, u8, &mut Wiring),
    ) {
        // The memory is what the input begins with, as long as that goes.
        let rings = (QUEUE_BYTES as usize * T::QUEUES.len()).max(0x200);
        let (memory, steps) = input.split_at(input.len().min(rings));
        self.memory.write(0, memory);
        for step in steps.chunks_exact(7) {
            let [kind, a, b, value @ ..] = step else { continue };
            let (at, value) =
                (u16::from_le_bytes([*a, *b]), u32::from_le_bytes(value.try_into().unwrap()));
            match kind % 6 {
                0 => self.set(u32::from(*a) * 4 % 0x110, value),
                1 => drop(self.memory.write(at.into(), &value.to_le_bytes())),
                2 => self.set(0x50, value % T::QUEUES.len() as u32),
                3 => self.get(at.into()),
                4 if *a == 0 => self.initialise(value),
                _ => {
                    let mut wiring = Wiring { clock: &Still, controller: &mut self.lines };
                    work(&mut self.device, *a, &mut wiring);
                }
            }
        }
        // Whatever came before, a reset leads out.
        self.initialise(0);
    }

    fn set(&mut self, offset: u32, value: u32) {
        let at = Address::Memory(SLOT.address + u64::from(offset));
        let mut wiring = Wiring { clock: &Still, controller: &mut self.lines };
        self.device.write(at, &value.to_le_bytes(), &mut wiring);
    }

    fn get(&mut self, offset: u64) {
        let at = Address::Memory(SLOT.address + offset);
        let mut wiring = Wiring { clock: &Still, controller: &mut self.lines };
        self.device.read(at, &mut [0; 4], &mut wiring);
    }

    fn status(&mut self) -> u32 {
        let mut word = [0; 4];
        let mut wiring = Wiring { clock: &Still, controller: &mut self.lines };
        self.device.read(Address::Memory(SLOT.address + 0x70), &mut word, &mut wiring);
        u32::from_le_bytes(word)
    }

    /// The initialisation, with some of the features: those of the rings and of the device type.
    fn initialise(&mut self, features: u32) {
        let own = self.features;
        for (offset, value) in [
            (0x70, 0),
            (0x70, 3),
            (0x24, 0),
            (0x20, features & (1 << 29 | 1 << 28 | own)),
            (0x24, 1),
            (0x20, 1),
            (0x70, 0xb),
        ] {
            self.set(offset, value);
        }
        for queue in 0..T::QUEUES.len() as u32 {
            let behind = queue * QUEUE_BYTES;
            for (offset, value) in [
                (0x30, queue),
                (0x38, QUEUE_SIZE),
                (0x80, DESCRIPTORS + behind),
                (0x90, AVAILABLE + behind),
                (0xa0, USED + behind),
                (0x44, 1),
            ] {
                self.set(offset, value);
            }
        }
        self.set(0x70, 0xf);
        assert_eq!(self.status(), 0xf);
    }
}
