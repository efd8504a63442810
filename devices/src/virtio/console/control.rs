//! The messages about ports (5.3.6.2): the driver says when it has opened the only port, which is
//! a console. Linux drops input that comes before.

use crate::virtio::queues::Chain;
use crate::virtio::ram::Ram;
use crate::virtio::transport::Transport;

/// The queue of the messages to the driver (5.3.2, `control receiveq`).
pub(super) const TO_DRIVER: usize = 2;
/// The queue of the messages from the driver (5.3.2, `control transmitq`).
pub(super) const FROM_DRIVER: usize = 3;
/// The only port.
const PORT: u32 = 0;
/// The bytes of a message (`struct virtio_console_control`): the port, the event and a value.
const MESSAGE_BYTES: usize = 8;

/// The events of messages (5.3.6.2).
mod event {
    /// The driver is ready, for the whole device.
    pub(super) const DEVICE_READY: u16 = 0;
    /// The device has this port.
    pub(super) const PORT_ADD: u16 = 1;
    /// The driver is ready to use the port.
    pub(super) const PORT_READY: u16 = 3;
    /// The port is a console.
    pub(super) const CONSOLE_PORT: u16 = 4;
    /// The port has been opened, or closed if the value is 0.
    pub(super) const PORT_OPEN: u16 = 6;
}

/// What driver and device have told each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    /// The events that the driver is still to be told, each at most once.
    pending: Vec<u16>,
    /// Whether the driver has opened the port.
    pub(super) is_open: bool,
}

impl Control {
    /// Takes a message of the driver.
    pub(super) fn take<R: Ram>(&mut self, chain: &Chain, transport: &mut Transport<R>) {
        let mut message = [0; MESSAGE_BYTES];
        if !transport.read(chain, 0, &mut message) {
            return transport.needs_reset();
        }
        transport.push(chain, 0);
        let word = |at: usize| u16::from_le_bytes([message[at], message[at + 1]]);
        let port = u32::from(word(0)) | u32::from(word(2)) << 16;
        let (event, value) = (word(4), word(6));
        match event {
            event::DEVICE_READY if value == 1 => self.tell(event::PORT_ADD),
            event::PORT_READY if value == 1 && port == PORT => {
                self.tell(event::CONSOLE_PORT);
                self.tell(event::PORT_OPEN);
            }
            event::PORT_OPEN if port == PORT => self.is_open = value == 1,
            _ => {}
        }
        self.send(transport);
    }

    fn tell(&mut self, event: u16) {
        if !self.pending.contains(&event) {
            self.pending.push(event);
        }
    }

    /// Sends the messages for which the driver has provided buffers.
    pub(super) fn send<R: Ram>(&mut self, transport: &mut Transport<R>) {
        while let Some(event) = self.pending.first() {
            let Some(chain) = transport.pop(TO_DRIVER) else { return };
            let mut message = [0; MESSAGE_BYTES];
            message[..4].copy_from_slice(&PORT.to_le_bytes());
            message[4..6].copy_from_slice(&event.to_le_bytes());
            message[6..].copy_from_slice(&1u16.to_le_bytes());
            if !transport.write(&chain, 0, &message) {
                return transport.needs_reset();
            }
            transport.push(&chain, MESSAGE_BYTES as u32);
            self.pending.remove(0);
        }
    }
}
