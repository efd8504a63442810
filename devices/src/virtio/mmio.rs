//! The mmio transport (4.2): a page of registers.

use virtio_bindings::virtio_mmio as register;

use super::ram::Ram;
use super::transport::{Saved, Transport};
use crate::bus::Region;
use crate::device::{Address, Device, Effect, ForeignState, State, Wiring};

/// The bytes of a device's registers.
pub const REGION_SIZE: u64 = 0x1000;

/// "virt" (4.2.2, `MagicValue`).
const MAGIC: u32 = u32::from_le_bytes(*b"virt");
/// The modern interface (4.2.2, `Version`).
const VERSION: u32 = 2;
/// `VendorID`. The specification assigns none; QEMU's is what drivers have seen most.
const VENDOR: u32 = u32::from_le_bytes(*b"QEMU");
/// The shared memory region that `SHMSel` selects doesn't exist (4.2.2, `SHMLenLow`).
const NO_SHARED_MEMORY: u32 = u32::MAX;

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The guest-physical address of its registers.
    pub address: u64,
    /// Its interrupt line, which is edge-triggered.
    pub line: u32,
}

impl Slot {
    /// The addresses of the registers.
    pub fn region(self) -> Region {
        Region::Memory(self.address..=self.address + (REGION_SIZE - 1))
    }
}

/// What a device is, behind the transport.
pub trait DeviceType: Send + 'static {
    /// The number of the device type (5).
    const ID: u32;
    /// The maximum size of each queue, a power of 2.
    const QUEUES: &'static [u16];

    /// The requests that the device has taken from its queues and not given back: a part of its
    /// state.
    type UnderWay: Clone + Send + Sync + 'static;

    /// The features of the device type.
    fn features(&self) -> u64 {
        0
    }

    /// The configuration space. It never changes.
    fn config(&self) -> &[u8] {
        &[]
    }

    /// The driver has put requests into a queue. Not called for a device that must not work now.
    /// The work of a call must have a bound.
    fn notified<R: Ram>(&mut self, queue: usize, transport: &mut Transport<R>);

    /// The driver has reset the device. The transport has dropped all requests.
    fn reset(&mut self);

    /// The requests that are under way, for a saved state.
    fn under_way(&self) -> Self::UnderWay;

    /// Goes on with the requests of a saved state, after a reset. `transport` is in that state.
    fn resume<R: Ram>(&mut self, under_way: &Self::UnderWay, transport: &Transport<R>);
}

/// A device of type `T` with the mmio transport.
#[derive(Debug)]
pub struct Mmio<T, R> {
    slot: Slot,
    pub(super) kind: T,
    pub(super) transport: Transport<R>,
}

impl<T: DeviceType, R: Ram> Mmio<T, R> {
    /// A device in the state after a reset.
    pub fn new(slot: Slot, kind: T, ram: R) -> Self {
        let transport = Transport::new(ram, kind.features(), T::QUEUES);
        Self { slot, kind, transport }
    }

    /// Interrupts if an event of this call asks for it.
    pub(super) fn settle(&mut self, wiring: &mut Wiring) {
        if std::mem::take(&mut self.transport.pulse) {
            wiring.pulse(self.slot.line);
        }
    }

    /// The offset of an address in the region.
    fn offset(&self, at: Address) -> Option<u64> {
        let Address::Memory(address) = at else { return None };
        address.checked_sub(self.slot.address).filter(|offset| *offset < REGION_SIZE)
    }

    /// The value of a control register; 0 for those that are written only, and between registers.
    fn register(&self, offset: u32) -> u32 {
        let transport = &self.transport;
        let queue = transport.queue();
        match offset {
            register::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            register::VIRTIO_MMIO_VERSION => VERSION,
            register::VIRTIO_MMIO_DEVICE_ID => T::ID,
            register::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            register::VIRTIO_MMIO_DEVICE_FEATURES => transport.offered(),
            register::VIRTIO_MMIO_QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.max.into()),
            register::VIRTIO_MMIO_QUEUE_READY => queue.map_or(0, |queue| queue.is_ready().into()),
            register::VIRTIO_MMIO_INTERRUPT_STATUS => transport.interrupts,
            register::VIRTIO_MMIO_STATUS => transport.status.bits(),
            register::VIRTIO_MMIO_SHM_LEN_LOW
            | register::VIRTIO_MMIO_SHM_LEN_HIGH
            | register::VIRTIO_MMIO_SHM_BASE_LOW
            | register::VIRTIO_MMIO_SHM_BASE_HIGH => NO_SHARED_MEMORY,
            // The configuration never changes, so one generation is enough: 0. So are all other
            // registers.
            _ => 0,
        }
    }

    /// Handles a write to a control register.
    fn set_register(&mut self, offset: u32, value: u32) {
        let transport = &mut self.transport;
        match offset {
            register::VIRTIO_MMIO_DEVICE_FEATURES_SEL => {
                transport.selected.device_features = value;
            }
            register::VIRTIO_MMIO_DRIVER_FEATURES_SEL => {
                transport.selected.driver_features = value;
            }
            register::VIRTIO_MMIO_DRIVER_FEATURES => transport.accept(value),
            register::VIRTIO_MMIO_QUEUE_SEL => transport.selected.queue = value,
            register::VIRTIO_MMIO_QUEUE_READY => transport.set_ready(value),
            register::VIRTIO_MMIO_QUEUE_NOTIFY => self.notify(value),
            register::VIRTIO_MMIO_INTERRUPT_ACK => transport.interrupts &= !value,
            register::VIRTIO_MMIO_STATUS => {
                if transport.set_status(value) {
                    self.kind.reset();
                }
            }
            _ => self.set_up_queue(offset, value),
        }
    }

    /// Handles a write to a register that describes the selected queue.
    fn set_up_queue(&mut self, offset: u32, value: u32) {
        let Some(queue) = self.transport.queue_to_set_up() else { return };
        let low = |address: &mut u64| *address = *address >> 32 << 32 | u64::from(value);
        let high = |address: &mut u64| *address = *address as u32 as u64 | u64::from(value) << 32;
        match offset {
            register::VIRTIO_MMIO_QUEUE_NUM => queue.size = value,
            register::VIRTIO_MMIO_QUEUE_DESC_LOW => low(&mut queue.descriptors),
            register::VIRTIO_MMIO_QUEUE_DESC_HIGH => high(&mut queue.descriptors),
            register::VIRTIO_MMIO_QUEUE_AVAIL_LOW => low(&mut queue.driver),
            register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => high(&mut queue.driver),
            register::VIRTIO_MMIO_QUEUE_USED_LOW => low(&mut queue.device),
            register::VIRTIO_MMIO_QUEUE_USED_HIGH => high(&mut queue.device),
            _ => {}
        }
    }

    /// `VIRTIO_F_NOTIFICATION_DATA` is not offered, so the value is the queue's number alone
    /// (4.2.3.3).
    fn notify(&mut self, queue: u32) {
        let Ok(queue) = usize::try_from(queue) else { return };
        if self.transport.is_ready(queue) {
            self.kind.notified(queue, &mut self.transport);
        }
    }
}

impl<T: DeviceType, R: Ram> Device for Mmio<T, R> {
    // A driver accesses control registers only by aligned words (4.2.2.2). Any other access reads
    // zeros, and writes nothing.
    fn read(&mut self, at: Address, data: &mut [u8], _wiring: &mut Wiring) {
        data.fill(0);
        let Some(offset) = self.offset(at) else { return };
        if let Some(inside) = offset.checked_sub(u64::from(register::VIRTIO_MMIO_CONFIG)) {
            let config = self.kind.config().get(inside as usize..).unwrap_or_default();
            data.iter_mut().zip(config).for_each(|(byte, value)| *byte = *value);
        } else if let Ok(word) = <&mut [u8; 4]>::try_from(data)
            && offset.is_multiple_of(4)
        {
            *word = self.register(offset as u32).to_le_bytes();
        }
    }

    // The configuration spaces that exist have no field that a driver may write.
    fn write(&mut self, at: Address, data: &[u8], wiring: &mut Wiring) -> Effect {
        if let Some(offset) = self.offset(at).filter(|offset| offset.is_multiple_of(4))
            && let Ok(word) = <[u8; 4]>::try_from(data)
        {
            self.set_register(offset as u32, u32::from_le_bytes(word));
            self.settle(wiring);
        }
        Effect::None
    }

    fn reset(&mut self) {
        self.transport.reset();
        self.kind.reset();
    }

    fn save(&self) -> State {
        State::new((self.transport.save(), self.kind.under_way()))
    }

    fn restore(&mut self, state: &State) -> Result<(), ForeignState> {
        let (transport, under_way): &(Saved, T::UnderWay) = state.get()?;
        self.kind.reset();
        self.transport.restore(transport);
        self.kind.resume(under_way, &self.transport);
        Ok(())
    }
}

#[cfg(test)]
#[path = "mmio_tests.rs"]
mod tests;
