//! The entropy device (5.4): it fills the driver's buffers with random bytes.

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use super::mmio::{DeviceType, Mmio};
use super::ram::Ram;
use super::transport::Transport;
use crate::device::Wiring;

/// The requests that the queue can hold.
const QUEUE_SIZE: u16 = 64;
/// The only queue (5.4.2, `requestq`).
const REQUESTS: usize = 0;
/// The most bytes that a request gets: a device may give fewer than asked for (5.4.6.2), and the
/// work for a notification has a bound.
const MOST_BYTES: u64 = 4096;

/// Fills a buffer with random bytes.
type Source = dyn FnMut(&mut [u8]) + Send;

/// An entropy device.
pub struct Rng {
    source: Box<Source>,
    wake: Box<dyn Fn() + Send>,
}

impl Rng {
    /// An entropy device whose bytes come from this source, which must not wait. `wake` is called
    /// when there are more requests than a call may answer: [`Mmio::go_on`] is then to be called
    /// soon. It must not wait, and must not call the device.
    pub fn new(
        source: impl FnMut(&mut [u8]) + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> Self {
        Self { source: Box::new(source), wake: Box::new(wake) }
    }

    /// Answers requests, up to a bound.
    fn fill<R: Ram>(&mut self, transport: &mut Transport<R>) {
        for _ in 0..QUEUE_SIZE {
            let Some(chain) = transport.pop(REQUESTS) else { return };
            let mut bytes = [0; MOST_BYTES as usize];
            let length = chain.writable.len().min(MOST_BYTES) as usize;
            (self.source)(&mut bytes[..length]);
            if transport.write(&chain, 0, &bytes[..length]) {
                transport.push(&chain, length as u32);
            } else {
                transport.needs_reset();
            }
        }
        // A driver on another vCPU may give buffers back as fast as they are filled, and need not
        // notify of those that it adds while the device works (2.7.10).
        (self.wake)();
    }
}

impl DeviceType for Rng {
    const ID: u32 = VIRTIO_ID_RNG;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    /// A request is answered at once.
    type UnderWay = ();

    fn notified<R: Ram>(&mut self, _queue: usize, transport: &mut Transport<R>) {
        self.fill(transport);
    }

    fn reset(&mut self) {}

    fn under_way(&self) {}

    // Requests may have been left when the state was saved.
    fn resume<R: Ram>(&mut self, (): &(), _transport: &Transport<R>) {
        (self.wake)();
    }
}

impl<R: Ram> Mmio<Rng, R> {
    /// Goes on with the requests that a call before has left.
    pub fn go_on(&mut self, wiring: &mut Wiring) {
        self.kind.fill(&mut self.transport);
        self.settle(wiring);
    }
}

#[cfg(test)]
#[path = "rng_tests.rs"]
mod tests;
