//! The entropy device (5.4): it fills the driver's buffers with random bytes.

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use super::mmio::DeviceType;
use super::ram::Ram;
use super::transport::Transport;

/// The requests that the queue can hold.
const QUEUE_SIZE: u16 = 64;
/// The most bytes that a request gets: a device may give fewer than asked for (5.4.6.2), and the
/// work for a notification has a bound.
const MOST_BYTES: u64 = 4096;

/// Fills a buffer with random bytes.
type Source = dyn FnMut(&mut [u8]) + Send;

/// An entropy device.
pub struct Rng {
    source: Box<Source>,
}

impl Rng {
    /// An entropy device whose bytes come from this source, which must not wait.
    pub fn new(source: impl FnMut(&mut [u8]) + Send + 'static) -> Self {
        Self { source: Box::new(source) }
    }
}

impl DeviceType for Rng {
    const ID: u32 = VIRTIO_ID_RNG;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    fn notified<R: Ram>(&mut self, queue: usize, transport: &mut Transport<R>) {
        // A driver that gives buffers back faster than they are filled must notify again.
        for _ in 0..QUEUE_SIZE {
            let Some(chain) = transport.pop(queue) else { return };
            let mut bytes = [0; MOST_BYTES as usize];
            let length = chain.writable.len().min(MOST_BYTES) as usize;
            (self.source)(&mut bytes[..length]);
            if transport.write(&chain, 0, &bytes[..length]) {
                transport.push(&chain, length as u32);
            } else {
                transport.needs_reset();
            }
        }
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
#[path = "rng_tests.rs"]
mod tests;
