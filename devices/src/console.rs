//! COM1, the guest's console: vm-superio's 16550A as a device.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vm_superio::serial::{NoEvents, SerialState};
use vm_superio::{Serial, Trigger};

use crate::bus::Region;
use crate::device::{Address, Device, Effect, ForeignState, State, Wiring};

/// COM1's first port.
pub const COM1: u16 = 0x3f8;
/// COM1's interrupt line.
pub const COM1_IRQ: u32 = 4;
/// The number of COM1's ports.
pub const COM1_PORTS: u16 = 8;

/// Records that the UART has asked for an interrupt during a call.
#[derive(Clone, Debug, Default)]
struct Request(Arc<AtomicBool>);

impl Trigger for Request {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// The output of a console. It is shared, because restoring a state replaces the UART.
struct Out<W>(Arc<Mutex<W>>);

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

type Uart<W> = Serial<Request, NoEvents, Out<W>>;

/// The serial console. Everything that the guest sends is written to `W` immediately; `W` may
/// buffer. Its interrupt line is edge-triggered.
pub struct Console<W: Write + Send> {
    uart: Uart<W>,
    request: Request,
    out: Arc<Mutex<W>>,
}

impl<W: Write + Send> Console<W> {
    /// Its ports.
    pub const REGION: Region = Region::Ports(COM1..=COM1 + COM1_PORTS - 1);

    /// A console that prints to `out`.
    pub fn new(out: W) -> Self {
        let (request, out) = (Request::default(), Arc::new(Mutex::new(out)));
        Self { uart: Serial::new(request.clone(), Out(out.clone())), request, out }
    }

    /// Sends bytes to the guest, as many as its FIFO can hold, and returns this number.
    pub fn send(&mut self, bytes: &[u8], wiring: &mut Wiring) -> io::Result<usize> {
        let room = self.uart.fifo_capacity().min(bytes.len());
        if room == 0 {
            return Ok(0);
        }
        let sent = self.uart.enqueue_raw_bytes(&bytes[..room]).map_err(io::Error::other);
        self.interrupt(wiring);
        sent
    }

    /// Whether the guest has enabled interrupts for input.
    pub fn interrupts_on_input(&self) -> bool {
        const RECEIVED: u8 = 1;
        self.uart.state().interrupt_enable & RECEIVED != 0
    }

    /// Whether bytes that were sent to the guest wait to be read by it.
    pub fn has_unread_input(&self) -> bool {
        !self.uart.state().in_buffer.is_empty()
    }

    /// Passes a requested interrupt on.
    fn interrupt(&self, wiring: &mut Wiring) {
        if self.request.0.swap(false, Ordering::Relaxed) {
            wiring.pulse(COM1_IRQ);
        }
    }

    fn register(at: Address) -> Option<u8> {
        match at {
            Address::Port(port) => port.checked_sub(COM1).map(|offset| offset as u8),
            Address::Memory(_) => None,
        }
    }
}

impl<W: Write + Send + 'static> Device for Console<W> {
    // The registers are 8 bits wide; a wider access reads one register and ones, as on ISA.
    fn read(&mut self, at: Address, data: &mut [u8], wiring: &mut Wiring) {
        data.fill(0xff);
        if let (Some(register), Some(first)) = (Self::register(at), data.first_mut()) {
            *first = self.uart.read(register);
            self.interrupt(wiring);
        }
    }

    fn write(&mut self, at: Address, data: &[u8], wiring: &mut Wiring) -> Effect {
        if let (Some(register), Some(&value)) = (Self::register(at), data.first()) {
            // A console whose reader is gone must not stop the guest: a real UART doesn't notice
            // either.
            let _ = self.uart.write(register, value);
            self.interrupt(wiring);
        }
        Effect::None
    }

    fn reset(&mut self) {
        self.uart = Serial::new(self.request.clone(), Out(self.out.clone()));
    }

    /// The registers and the FIFO, but not what was printed.
    fn save(&self) -> State {
        State::new(self.uart.state())
    }

    fn restore(&mut self, state: &State) -> Result<(), ForeignState> {
        let saved: &SerialState = state.get()?;
        if self.uart.state() != *saved {
            let (request, out) = (self.request.clone(), Out(self.out.clone()));
            self.uart =
                Serial::from_state(saved, request, NoEvents, out).map_err(|_| ForeignState)?;
            // The UART asks for the interrupt that was pending. The state of the interrupt
            // controller contains it already.
            self.request.0.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
