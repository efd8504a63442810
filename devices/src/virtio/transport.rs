//! What the transport keeps for a device: the status, the features, the queues, the interrupts.

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

use super::queues::{Broken, Chain, DeviceQueue, SavedQueue};
use super::ram::Ram;
use super::status::{Asked, Status};

/// The features of the transport and its queues (6). The device type adds its own.
const TRANSPORT_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX;

/// The registers that choose among others, and the driver's features.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selected {
    /// `DeviceFeaturesSel`.
    pub(super) device_features: u32,
    /// `DriverFeaturesSel`.
    pub(super) driver_features: u32,
    /// `QueueSel`.
    pub(super) queue: u32,
}

/// The state of a device behind its registers, which its type uses as well.
#[derive(Debug)]
pub struct Transport<R> {
    ram: R,
    pub(super) status: Status,
    pub(super) selected: Selected,
    /// What the device offers.
    offered: u64,
    /// What the driver has accepted so far, or for good once `FEATURES_OK` is set.
    accepted: u64,
    /// Whether the driver has accepted a feature beyond the 64 that exist.
    accepts_unknown: bool,
    pub(super) queues: Vec<DeviceQueue>,
    /// `InterruptStatus`.
    pub(super) interrupts: u32,
    /// Whether the interrupt line is to be pulsed at the end of this call.
    pub(super) pulse: bool,
}

/// The saved state of a transport.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    status: Status,
    selected: Selected,
    accepted: u64,
    accepts_unknown: bool,
    queues: Vec<SavedQueue>,
    interrupts: u32,
}

impl<R: Ram> Transport<R> {
    pub(super) fn new(ram: R, features: u64, queues: &[u16]) -> Self {
        Self {
            ram,
            status: Status::default(),
            selected: Selected::default(),
            offered: features | TRANSPORT_FEATURES,
            accepted: 0,
            accepts_unknown: false,
            queues: queues.iter().map(|max| DeviceQueue::new(*max)).collect(),
            interrupts: 0,
            pulse: false,
        }
    }

    /// Whether driver and device have agreed on this feature.
    pub fn has_feature(&self, bit: u32) -> bool {
        self.status.has(Status::FEATURES_OK) && self.accepted >> bit & 1 != 0
    }

    /// Takes the driver's next request from a queue. `None` if there is none, or if the device must
    /// not work now.
    pub fn pop(&mut self, queue: usize) -> Option<Chain> {
        if !self.status.is_live() {
            return None;
        }
        let popped = self.queues.get_mut(queue)?.pop(queue, self.ram.map());
        popped.unwrap_or_else(|Broken| {
            self.needs_reset();
            None
        })
    }

    /// Gives a request back to the driver, `written` bytes of whose buffers the device has written.
    /// A request from before a reset is dropped.
    pub fn push(&mut self, chain: &Chain, written: u32) {
        if !self.has(chain) {
            return;
        }
        let pushed = self.queues[chain.queue].push(self.ram.map(), chain, written);
        match pushed {
            Ok(true) => self.interrupt(VIRTIO_MMIO_INT_VRING),
            Ok(false) => {}
            Err(Broken) => self.needs_reset(),
        }
    }

    /// Whether a request is still the driver's: the device was not reset since.
    pub fn has(&self, chain: &Chain) -> bool {
        let is_in = |queue: &DeviceQueue| queue.has(chain);
        self.status.is_live() && self.queues.get(chain.queue).is_some_and(is_in)
    }

    /// Whether the device may use this queue.
    pub(super) fn is_ready(&self, queue: usize) -> bool {
        self.status.is_live() && self.queues.get(queue).is_some_and(DeviceQueue::is_ready)
    }

    /// A request of a saved state, in the queues that were restored from that state.
    pub(super) fn revive(&self, chain: &Chain) -> Chain {
        let life = self.queues.get(chain.queue).map_or(chain.life, DeviceQueue::life);
        Chain { life, ..chain.clone() }
    }

    /// Reads from the part of a request that the device reads. False if it is shorter, or not in
    /// memory.
    pub fn read(&self, chain: &Chain, from: u64, data: &mut [u8]) -> bool {
        chain.readable.read(&self.ram, from, data)
    }

    /// Writes to the part of a request that the device writes. False if it is shorter, or not in
    /// memory.
    pub fn write(&self, chain: &Chain, from: u64, data: &[u8]) -> bool {
        chain.writable.write(&self.ram, from, data)
    }

    /// Enters the error state (2.1.2). The driver is told by a change of the configuration.
    pub fn needs_reset(&mut self) {
        if !self.status.has(Status::NEEDS_RESET) {
            self.status.set(Status::NEEDS_RESET);
            if self.status.has(Status::DRIVER_OK) {
                self.interrupt(VIRTIO_MMIO_INT_CONFIG);
            }
        }
    }

    fn interrupt(&mut self, event: u32) {
        self.interrupts |= event;
        // The line is edge-triggered. A pulse that comes while the bit is set is needed: the driver
        // may have read the register already, and not yet acknowledged.
        self.pulse = true;
    }

    /// A part of the features that the device offers.
    pub(super) fn offered(&self) -> u32 {
        part(self.offered, self.selected.device_features)
    }

    /// Accepts a part of the features. What is written after the agreement has no effect (2.2.1).
    pub(super) fn accept(&mut self, features: u32) {
        if self.status.has(Status::FEATURES_OK) {
            return;
        }
        let features = u64::from(features);
        match self.selected.driver_features {
            0 => self.accepted = self.accepted >> 32 << 32 | features,
            1 => self.accepted = self.accepted & u64::from(u32::MAX) | features << 32,
            _ => self.accepts_unknown |= features != 0,
        }
    }

    /// Whether the driver's features are a subset of the device's, and modern (2.2, 6.1).
    fn can_agree(&self) -> bool {
        let is_subset = self.accepted & !self.offered == 0 && !self.accepts_unknown;
        is_subset && self.accepted >> VIRTIO_F_VERSION_1 & 1 != 0
    }

    /// Handles a write to the status register. Returns whether it resets the device.
    pub(super) fn set_status(&mut self, written: u32) -> bool {
        match self.status.ask(written) {
            Asked::Reset => {
                self.reset();
                return true;
            }
            Asked::Set { to, features } if features && !self.can_agree() => {
                self.status = to.without_features();
            }
            Asked::Set { to, .. } => self.status = to,
            Asked::Illegal => {}
        }
        false
    }

    /// Brings everything into the state in which it is created (4.2.2.1).
    pub(super) fn reset(&mut self) {
        self.status = Status::default();
        self.selected = Selected::default();
        (self.accepted, self.accepts_unknown) = (0, false);
        self.queues.iter_mut().for_each(DeviceQueue::reset);
        (self.interrupts, self.pulse) = (0, false);
    }

    /// The queue that `QueueSel` selects.
    pub(super) fn queue(&self) -> Option<&DeviceQueue> {
        self.queues.get(self.selected.queue as usize)
    }

    /// The selected queue, if the driver may set it up now.
    pub(super) fn queue_to_set_up(&mut self) -> Option<&mut DeviceQueue> {
        let queue = self.queues.get_mut(self.selected.queue as usize)?;
        (self.status.is_setting_up() && !queue.is_ready()).then_some(queue)
    }

    /// Handles a write to `QueueReady`.
    pub(super) fn set_ready(&mut self, ready: u32) {
        let event_index = self.has_feature(VIRTIO_RING_F_EVENT_IDX);
        let is_setting_up = self.status.is_setting_up();
        let Some(queue) = self.queues.get_mut(self.selected.queue as usize) else { return };
        let mut started = Ok(());
        match ready {
            0 if queue.is_ready() => queue.stop(),
            1 if is_setting_up && !queue.is_ready() => {
                started = queue.start(self.ram.map(), event_index);
            }
            _ => {}
        }
        if started == Err(Broken) {
            self.needs_reset();
        }
    }

    pub(super) fn save(&self) -> Saved {
        Saved {
            status: self.status,
            selected: self.selected,
            accepted: self.accepted,
            accepts_unknown: self.accepts_unknown,
            queues: self.queues.iter().map(DeviceQueue::save).collect(),
            interrupts: self.interrupts,
        }
    }

    pub(super) fn restore(&mut self, saved: &Saved) {
        self.status = saved.status;
        self.selected = saved.selected;
        (self.accepted, self.accepts_unknown) = (saved.accepted, saved.accepts_unknown);
        for (queue, saved) in self.queues.iter_mut().zip(&saved.queues) {
            queue.restore(saved);
        }
        (self.interrupts, self.pulse) = (saved.interrupts, false);
    }
}

/// The 32 bits of a feature set that a selector chooses; 0 beyond the 64 that exist.
fn part(features: u64, selector: u32) -> u32 {
    match selector {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
