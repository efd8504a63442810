//! The queues of a device (2.6, 2.7): where the driver has put their rings, and what comes and goes
//! there.

use std::sync::atomic::{Ordering, fence};

use virtio_bindings::virtio_ring::{VRING_AVAIL_F_NO_INTERRUPT, VRING_DESC_F_NEXT};
use virtio_queue::{Queue, QueueOwnedT, QueueState, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use super::buffers::Buffers;

/// The error of a queue that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A descriptor chain: a request of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub(super) queue: usize,
    pub(super) head: u16,
    /// The life of the queue to which the chain belongs.
    pub(super) life: u64,
    /// What the device reads.
    pub(super) readable: Buffers,
    /// What the device writes.
    pub(super) writable: Buffers,
}

/// One queue.
#[derive(Debug)]
pub(super) struct DeviceQueue {
    /// `QueueNumMax`, a power of 2.
    pub(super) max: u16,
    /// `QueueNum`, as written.
    pub(super) size: u32,
    /// The guest-physical addresses of the three parts, as written.
    pub(super) descriptors: u64,
    pub(super) driver: u64,
    pub(super) device: u64,
    /// `None` as long as `QueueReady` is 0.
    live: Option<Queue>,
    /// How often the queue has been stopped: a request of an earlier life is never completed.
    life: u64,
}

/// The saved state of a queue.
#[derive(Clone, Debug)]
pub(super) struct SavedQueue {
    size: u32,
    addresses: [u64; 3],
    live: Option<QueueState>,
}

impl DeviceQueue {
    pub(super) fn new(max: u16) -> Self {
        let (descriptors, driver, device) = (0, 0, 0);
        Self { max, size: u32::from(max), descriptors, driver, device, live: None, life: 0 }
    }

    /// `QueueReady`.
    pub(super) fn is_ready(&self) -> bool {
        self.live.is_some()
    }

    /// Begins to use the queue. Fails if its size is no power of 2 up to the maximum (2.7), or a
    /// part is not aligned or not in memory.
    pub(super) fn start(
        &mut self,
        memory: &impl GuestMemory,
        event_index: bool,
    ) -> Result<(), Broken> {
        let state = QueueState {
            max_size: self.max,
            next_avail: 0,
            next_used: 0,
            event_idx_enabled: event_index,
            size: u16::try_from(self.size).map_err(|_| Broken)?,
            ready: true,
            desc_table: self.descriptors,
            avail_ring: self.driver,
            used_ring: self.device,
        };
        let queue = Queue::try_from(state).map_err(|_| Broken)?;
        // The library takes an available ring at address 0 for one that is not set.
        if self.driver == 0 || !queue.is_valid(memory) {
            return Err(Broken);
        }
        self.live = Some(queue);
        Ok(())
    }

    /// Stops using the queue.
    pub(super) fn stop(&mut self) {
        self.live = None;
        self.life += 1;
    }

    /// Brings the queue into the state in which it is created.
    pub(super) fn reset(&mut self) {
        *self = Self { life: self.life + 1, ..Self::new(self.max) };
    }

    /// The life to which the requests that are taken now belong.
    pub(super) fn life(&self) -> u64 {
        self.life
    }

    /// Whether a request still belongs to the queue.
    pub(super) fn has(&self, chain: &Chain) -> bool {
        self.is_ready() && chain.life == self.life
    }

    /// Takes the next request. Fails if the ring or the chain makes no sense.
    pub(super) fn pop(
        &mut self,
        number: usize,
        memory: &impl GuestMemory,
    ) -> Result<Option<Chain>, Broken> {
        let Some(queue) = &mut self.live else { return Ok(None) };
        let mut chain = queue.iter(memory).map_err(|_| Broken)?.next();
        // A request that came just now was not announced: the driver saw that the device is busy.
        if chain.is_none() && queue.enable_notification(memory).map_err(|_| Broken)? {
            chain = queue.iter(memory).map_err(|_| Broken)?.next();
        }
        let Some(descriptors) = chain else { return Ok(None) };
        let (head, size) = (descriptors.head_index(), queue.size());
        let (readable, writable) = (Buffers::default(), Buffers::default());
        let mut chain = Chain { queue: number, head, life: self.life, readable, writable };
        // A chain goes on at its end only if its next descriptor can't be read, or if it is a loop.
        let (mut count, mut goes_on) = (0, true);
        for descriptor in descriptors {
            // A chain has at most as many descriptors as its queue, in an indirect table as well
            // (2.7.5.3.1). What the device writes comes after what it reads (2.7.4.2).
            let is_disordered = !descriptor.is_write_only() && chain.writable.len() > 0;
            if count == size || is_disordered {
                return Err(Broken);
            }
            count += 1;
            goes_on = u32::from(descriptor.flags()) & VRING_DESC_F_NEXT != 0;
            let buffers =
                if descriptor.is_write_only() { &mut chain.writable } else { &mut chain.readable };
            buffers.push(descriptor.addr().0, descriptor.len());
        }
        if goes_on { Err(Broken) } else { Ok(Some(chain)) }
    }

    /// Gives a request back, `written` bytes of which the device has written. Returns whether the
    /// driver asks for an interrupt (2.7.7).
    pub(super) fn push(
        &mut self,
        memory: &impl GuestMemory,
        chain: &Chain,
        written: u32,
    ) -> Result<bool, Broken> {
        let Some(queue) = &mut self.live else { return Ok(false) };
        queue.add_used(memory, chain.head, written).map_err(|_| Broken)?;
        if queue.event_idx_enabled() {
            return queue.needs_notification(memory).map_err(|_| Broken);
        }
        // The used ring is visible before the flags are read: a driver that allows interrupts
        // looks at the ring afterwards.
        fence(Ordering::SeqCst);
        let flags = GuestAddress(queue.avail_ring());
        let flags: u16 = memory.load(flags, Ordering::Relaxed).map_err(|_| Broken)?;
        Ok(u32::from(u16::from_le(flags)) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }

    pub(super) fn save(&self) -> SavedQueue {
        let addresses = [self.descriptors, self.driver, self.device];
        SavedQueue { size: self.size, addresses, live: self.live.as_ref().map(Queue::state) }
    }

    pub(super) fn restore(&mut self, saved: &SavedQueue) {
        self.stop();
        self.size = saved.size;
        [self.descriptors, self.driver, self.device] = saved.addresses;
        self.live = saved.live.and_then(|state| Queue::try_from(state).ok());
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
