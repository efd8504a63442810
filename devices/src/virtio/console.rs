//! The console device (5.3): one port, which is a terminal line. Of the optional features it has
//! the messages about ports alone.

mod control;

use std::io::Write;

use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;

use super::mmio::{DeviceType, Mmio};
use super::queues::Chain;
use super::ram::Ram;
use super::transport::Transport;
use crate::device::Wiring;
use control::Control;

/// The requests that a queue can hold.
const QUEUE_SIZE: u16 = 64;
/// The queue of the buffers for input (5.3.2, `receiveq`).
const RECEIVE: usize = 0;
/// The queue of the output (5.3.2, `transmitq`).
const TRANSMIT: usize = 1;
/// `VIRTIO_CONSOLE_F_MULTIPORT` (5.3.3): there are messages about ports.
const MULTIPORT: u32 = 1;
/// The configuration (5.3.4): the size, which has no feature here, and the number of ports.
const CONFIG: [u8; 8] = [0, 0, 0, 0, 1, 0, 0, 0];
/// The most bytes of output that are printed at once.
const CHUNK: u64 = 4096;
/// The most parts of requests that a call prints, and the most messages that it takes.
const MOST_PARTS: u16 = 64;

/// A console, as its device type sees it. Everything that the guest sends is written to `W`
/// immediately; `W` may buffer, and must not wait.
pub struct Console<W> {
    out: W,
    wake: Box<dyn Fn() + Send>,
    under_way: UnderWay,
    is_used: bool,
}

/// What the device has taken from its queues, and what it keeps of it.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// The output that is not yet printed in whole.
    output: Option<Output>,
    control: Control,
}

/// A request of the driver to print something.
#[derive(Clone, Debug)]
struct Output {
    chain: Chain,
    /// The bytes that are printed.
    done: u64,
}

impl<W: Write> Console<W> {
    /// A console that prints to `out`. `wake` is called when there is more to do than a call may
    /// take: [`Mmio::go_on`] is then to be called soon. It must not wait, and must not call the
    /// device.
    pub fn new(out: W, wake: impl Fn() + Send + 'static) -> Self {
        Self { out, wake: Box::new(wake), under_way: UnderWay::default(), is_used: false }
    }

    /// Prints what the driver has sent, up to a bound.
    fn print<R: Ram>(&mut self, transport: &mut Transport<R>) {
        for _ in 0..MOST_PARTS {
            let output = &mut self.under_way.output;
            let begun = output.take().filter(|output| transport.has(&output.chain));
            let next = || Some(Output { chain: transport.pop(TRANSMIT)?, done: 0 });
            let Some(Output { chain, done }) = begun.or_else(next) else { return };
            let mut bytes = [0; CHUNK as usize];
            let length = (chain.readable.len() - done).min(CHUNK) as usize;
            if !transport.read(&chain, done, &mut bytes[..length]) {
                return transport.needs_reset();
            }
            // A console whose reader is gone must not stop the guest.
            let _ = self.out.write_all(&bytes[..length]);
            let _ = self.out.flush();
            let done = done + length as u64;
            if done == chain.readable.len() {
                transport.push(&chain, 0);
            } else {
                *output = Some(Output { chain, done });
            }
        }
        (self.wake)();
    }

    /// Takes the driver's messages, up to a bound.
    fn listen<R: Ram>(&mut self, transport: &mut Transport<R>) {
        for _ in 0..MOST_PARTS {
            let Some(chain) = transport.pop(control::FROM_DRIVER) else { return };
            self.under_way.control.take(&chain, transport);
        }
        (self.wake)();
    }
}

impl<W: Write + Send + 'static> DeviceType for Console<W> {
    const ID: u32 = VIRTIO_ID_CONSOLE;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE; 4];

    type UnderWay = UnderWay;

    fn features(&self) -> u64 {
        1 << MULTIPORT
    }

    fn config(&self) -> &[u8] {
        &CONFIG
    }

    fn notified<R: Ram>(&mut self, queue: usize, transport: &mut Transport<R>) {
        self.is_used = true;
        match queue {
            TRANSMIT => self.print(transport),
            control::FROM_DRIVER => self.listen(transport),
            control::TO_DRIVER => self.under_way.control.send(transport),
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.under_way = UnderWay::default();
    }

    fn under_way(&self) -> Self::UnderWay {
        self.under_way.clone()
    }

    fn resume<R: Ram>(&mut self, under_way: &Self::UnderWay, transport: &Transport<R>) {
        self.under_way.clone_from(under_way);
        if let Some(output) = &mut self.under_way.output {
            output.chain = transport.revive(&output.chain);
        }
        (self.wake)();
    }
}

impl<W: Write + Send + 'static, R: Ram> Mmio<Console<W>, R> {
    /// Goes on with what a call before has left.
    pub fn go_on(&mut self, wiring: &mut Wiring) {
        self.kind.listen(&mut self.transport);
        self.kind.print(&mut self.transport);
        self.settle(wiring);
    }

    /// Sends bytes to the guest, as many as fit into the buffers that its driver has provided, and
    /// returns this number.
    pub fn send(&mut self, bytes: &[u8], wiring: &mut Wiring) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && self.takes_input() {
            let Some(chain) = self.transport.pop(RECEIVE) else { break };
            let length = chain.writable.len().min((bytes.len() - sent) as u64) as usize;
            if length == 0 || !self.transport.write(&chain, 0, &bytes[sent..sent + length]) {
                self.transport.needs_reset();
                break;
            }
            self.transport.push(&chain, length as u32);
            sent += length;
        }
        self.settle(wiring);
        sent
    }

    /// Whether the guest takes input: its driver works and, if the driver tells so much, has opened
    /// the port.
    pub fn takes_input(&self) -> bool {
        let is_open = self.kind.under_way.control.is_open || !self.transport.has_feature(MULTIPORT);
        is_open && self.transport.is_ready(RECEIVE)
    }

    /// Whether a driver has ever used the device.
    pub fn is_used(&self) -> bool {
        self.kind.is_used
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
