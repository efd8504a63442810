//! Virtio devices behind the mmio transport.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, OASIS; the comments name its sections. Only the
//! modern interface exists: the transport reports version 2, and `VIRTIO_F_VERSION_1` is required.
//!
//! A device has three parts. The transport ([`Mmio`]) has the registers, the status and the
//! interrupt line. Its queues read the rings in guest memory. The device type ([`DeviceType`])
//! decides what a request means: [`Block`], [`Console`] and [`Rng`] exist.
//!
//! The guest is not trusted. A ring that makes no sense sets `DEVICE_NEEDS_RESET` (2.1.2), after
//! which the device does nothing until the driver resets it. A register write that the
//! specification forbids has no effect. The work for one notification has a bound.

mod block;
mod buffers;
mod console;
mod mmio;
mod queues;
mod ram;
mod request;
mod rng;
mod status;
#[cfg(test)]
mod testing;
mod transport;

pub use block::{Action, Block, Job, SECTOR};
pub use console::Console;
pub use mmio::{DeviceType, Mmio, REGION_SIZE, Slot};
pub use queues::Chain;
pub use ram::Ram;
pub use rng::Rng;
pub use transport::Transport;
