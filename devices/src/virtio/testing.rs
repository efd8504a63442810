//! A driver for the tests: it writes registers and rings as a guest would.

use virtio_bindings::virtio_mmio as register;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::mmio::{DeviceType, Mmio, Slot};
use super::ram::Ram;
use crate::device::{Address, Device};
use crate::testing::{Lines, wired};

/// Where the tests' device is.
pub(super) const SLOT: Slot = Slot { address: 0xd000_0000, line: 16 };
/// The bytes of guest memory.
pub(super) const MEMORY: u64 = 0x10_0000;
/// The parts of queue 0. The others' are `Driver::part` behind.
pub(super) const DESCRIPTORS: u64 = 0x1000;
pub(super) const AVAILABLE: u64 = 0x3000;
pub(super) const USED: u64 = 0x4000;
/// Memory for buffers.
pub(super) const BUFFERS: u64 = 0x1_0000;
/// The flags of a descriptor.
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

/// The guest memory of the tests.
#[derive(Clone, Debug)]
pub(super) struct TestRam(pub(super) GuestMemoryMmap);

impl TestRam {
    pub(super) fn new() -> Self {
        let ranges = [(GuestAddress(0), MEMORY as usize)];
        Self(GuestMemoryMmap::from_ranges(&ranges).unwrap())
    }
}

impl Ram for TestRam {
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

/// A driver with its device.
pub(super) struct Driver<T> {
    pub(super) device: Mmio<T, TestRam>,
    pub(super) ram: TestRam,
    pub(super) lines: Lines,
    /// The queue that is used.
    queue: u32,
    size: u16,
    available: [u16; 4],
}

impl<T: DeviceType> Driver<T> {
    pub(super) fn new(kind: T) -> Self {
        let ram = TestRam::new();
        let device = Mmio::new(SLOT, kind, ram.clone());
        Self { device, ram, lines: Lines::default(), queue: 0, size: 8, available: [0; 4] }
    }

    /// A driver that has initialised its device with all features but those for interrupts.
    pub(super) fn ready(kind: T) -> Self {
        let mut driver = Self::new(kind);
        driver.start(!(1 << 29));
        driver
    }

    /// The same for a driver that uses all queues, with the features among `wanted`.
    pub(super) fn ready_with_all(kind: T, wanted: u64) -> Self {
        let mut driver = Self::new(kind);
        driver.negotiate(wanted);
        for queue in 0..T::QUEUES.len() as u32 {
            driver.queue = queue;
            driver.set_up_queue();
            driver.set(register::VIRTIO_MMIO_QUEUE_READY, 1);
        }
        driver.set_status(0xf);
        assert_eq!(driver.status(), 0xf);
        driver.on(0);
        driver
    }

    /// Uses this queue from now on.
    pub(super) fn on(&mut self, queue: usize) -> &mut Self {
        self.queue = queue as u32;
        self
    }

    /// Where a part of the queue that is used is.
    fn part(&self, of_first: u64) -> u64 {
        const BEHIND: u64 = 0xe_f000;
        let queue = u64::from(self.queue);
        of_first + if queue > 0 { BEHIND + 0x4000 * queue } else { 0 }
    }

    pub(super) fn get(&mut self, offset: u32) -> u32 {
        let mut word = [0; 4];
        let at = Address::Memory(SLOT.address + u64::from(offset));
        wired(&mut self.lines, |wiring| self.device.read(at, &mut word, wiring));
        u32::from_le_bytes(word)
    }

    pub(super) fn set(&mut self, offset: u32, value: u32) {
        let at = Address::Memory(SLOT.address + u64::from(offset));
        wired(&mut self.lines, |wiring| self.device.write(at, &value.to_le_bytes(), wiring));
    }

    pub(super) fn status(&mut self) -> u32 {
        self.get(register::VIRTIO_MMIO_STATUS)
    }

    pub(super) fn set_status(&mut self, status: u32) {
        self.set(register::VIRTIO_MMIO_STATUS, status);
    }

    /// The device's features.
    pub(super) fn features(&mut self) -> u64 {
        let mut part = |selector| {
            self.set(register::VIRTIO_MMIO_DEVICE_FEATURES_SEL, selector);
            u64::from(self.get(register::VIRTIO_MMIO_DEVICE_FEATURES))
        };
        part(0) | part(1) << 32
    }

    pub(super) fn accept(&mut self, features: u64) {
        for (selector, part) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.set(register::VIRTIO_MMIO_DRIVER_FEATURES_SEL, selector);
            self.set(register::VIRTIO_MMIO_DRIVER_FEATURES, part);
        }
    }

    /// Negotiates the features among these that the device has.
    pub(super) fn negotiate(&mut self, wanted: u64) {
        self.set_status(0);
        self.set_status(1);
        self.set_status(3);
        let features = self.features() & wanted;
        self.accept(features);
        self.set_status(0xb);
        assert_eq!(self.status(), 0xb);
    }

    /// Describes the queue.
    pub(super) fn set_up_queue(&mut self) {
        self.set(register::VIRTIO_MMIO_QUEUE_SEL, self.queue);
        self.set(register::VIRTIO_MMIO_QUEUE_NUM, self.size.into());
        for (low, address) in [
            (register::VIRTIO_MMIO_QUEUE_DESC_LOW, DESCRIPTORS),
            (register::VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAILABLE),
            (register::VIRTIO_MMIO_QUEUE_USED_LOW, USED),
        ] {
            let address = self.part(address);
            self.set(low, address as u32);
            self.set(low + 4, (address >> 32) as u32);
        }
    }

    /// The whole initialisation, with the features among `wanted`.
    pub(super) fn start(&mut self, wanted: u64) {
        self.negotiate(wanted);
        self.put(AVAILABLE, &[0; 32]);
        self.put(USED, &[0; 128]);
        self.available = [0; 4];
        self.set_up_queue();
        self.set(register::VIRTIO_MMIO_QUEUE_READY, 1);
        self.set_status(0xf);
        assert_eq!(self.status(), 0xf);
    }

    pub(super) fn put(&self, address: u64, bytes: &[u8]) {
        assert!(self.ram.write(address, bytes));
    }

    pub(super) fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        assert!(self.ram.read(address, &mut bytes));
        bytes
    }

    fn word(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.bytes(address, 2).try_into().unwrap())
    }

    /// Writes a descriptor of a table.
    pub(super) fn describe(&self, table: u64, number: u16, descriptor: (u64, u32, u16, u16)) {
        let (address, length, flags, next) = descriptor;
        let at = table + 16 * u64::from(number);
        self.put(at, &address.to_le_bytes());
        self.put(at + 8, &length.to_le_bytes());
        self.put(at + 12, &flags.to_le_bytes());
        self.put(at + 14, &next.to_le_bytes());
    }

    /// Describes one request of these buffers (address, length, flags), from a descriptor on.
    pub(super) fn chain(&self, first: u16, buffers: &[(u64, u32, u16)]) {
        for (number, (address, length, flags)) in (first..).zip(buffers) {
            let is_last = usize::from(number - first) + 1 == buffers.len();
            let flags = flags | if is_last { 0 } else { NEXT };
            self.describe(self.part(DESCRIPTORS), number, (*address, *length, flags, number + 1));
        }
    }

    /// Makes a chain available.
    pub(super) fn offer(&mut self, head: u16) {
        let available = &mut self.available[self.queue as usize];
        let (slot, next) = (u64::from(*available % self.size), available.wrapping_add(1));
        *available = next;
        self.put(self.part(AVAILABLE) + 4 + 2 * slot, &head.to_le_bytes());
        self.put(self.part(AVAILABLE) + 2, &next.to_le_bytes());
    }

    pub(super) fn notify(&mut self) {
        self.set(register::VIRTIO_MMIO_QUEUE_NOTIFY, self.queue);
    }

    /// How many requests came back.
    pub(super) fn used(&self) -> u16 {
        self.word(self.part(USED) + 2)
    }

    /// The head and the written bytes of the last request that came back.
    pub(super) fn last_used(&self) -> (u16, u32) {
        let at = self.part(USED) + 4 + 8 * u64::from((self.used() - 1) % self.size);
        let length = self.bytes(at + 4, 4).try_into().unwrap();
        (self.word(at), u32::from_le_bytes(length))
    }

    /// The number of pulses of the interrupt line since the last call.
    pub(super) fn pulses(&mut self) -> usize {
        let set = std::mem::take(&mut self.lines.set);
        assert!(set.iter().all(|(line, _)| *line == SLOT.line));
        set.iter().filter(|(_, high)| *high).count()
    }
}

/// A device type that gives each request back at once.
#[derive(Debug, Default)]
pub(super) struct Echo {
    pub(super) resets: u32,
}

impl DeviceType for Echo {
    const ID: u32 = 42;
    const QUEUES: &'static [u16] = &[16, 4];

    type UnderWay = ();

    fn features(&self) -> u64 {
        1 << 3
    }

    fn config(&self) -> &[u8] {
        &[1, 2, 3, 4, 5, 6]
    }

    fn notified<R: Ram>(&mut self, queue: usize, transport: &mut super::Transport<R>) {
        for _ in 0..Self::QUEUES[0] {
            let Some(chain) = transport.pop(queue) else { return };
            let mut bytes = vec![0; chain.readable.len().min(1024) as usize];
            let read = transport.read(&chain, 0, &mut bytes);
            let length = bytes.len().min(chain.writable.len() as usize);
            if read && transport.write(&chain, 0, &bytes[..length]) {
                transport.push(&chain, length as u32);
            } else {
                transport.needs_reset();
            }
        }
    }

    fn reset(&mut self) {
        self.resets += 1;
    }

    fn under_way(&self) {}

    fn resume<R: Ram>(&mut self, (): &(), _transport: &super::Transport<R>) {}
}
