//! COM1, the guest's console: vm-superio's 16550A as a port device.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vm_superio::serial::{NoEvents, SerialState};
use vm_superio::{Serial, Trigger};

use crate::bus::{Effect, PortDevice};

/// COM1's first port.
pub const COM1: u16 = 0x3f8;
/// COM1's interrupt line.
pub const COM1_IRQ: u32 = 4;

/// An interrupt line that can be pulsed.
pub trait Line: Send + Sync {
    /// Raises the line and lowers it again (an edge).
    fn pulse(&self) -> io::Result<()>;
}

impl<L: Line + ?Sized> Line for Box<L> {
    fn pulse(&self) -> io::Result<()> {
        (**self).pulse()
    }
}

/// A line that is not connected.
#[derive(Clone, Copy, Debug)]
pub struct NoLine;

impl Line for NoLine {
    fn pulse(&self) -> io::Result<()> {
        Ok(())
    }
}

struct LineTrigger<L>(Arc<L>);

impl<L: Line> Trigger for LineTrigger<L> {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.pulse()
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

type Uart<L, W> = Serial<LineTrigger<L>, NoEvents, Out<W>>;

/// The saved registers and FIFO of a console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleState(SerialState);

/// The serial console. Everything that the guest sends is written to `W` immediately; `W` may
/// buffer.
pub struct Console<L: Line, W: Write + Send> {
    serial: Mutex<Uart<L, W>>,
    line: Arc<L>,
    out: Arc<Mutex<W>>,
}

impl<L: Line, W: Write + Send> Console<L, W> {
    /// The number of its ports, from [`COM1`] on.
    pub const PORTS: u16 = 8;

    /// A console that interrupts through `line` and prints to `out`.
    pub fn new(line: L, out: W) -> Self {
        let (line, out) = (Arc::new(line), Arc::new(Mutex::new(out)));
        let serial = Serial::new(LineTrigger(line.clone()), Out(out.clone()));
        Self { serial: Mutex::new(serial), line, out }
    }

    /// Saves the registers and the FIFO, but not what was printed.
    pub fn save(&self) -> ConsoleState {
        ConsoleState(self.lock().state())
    }

    /// Restores the registers and the FIFO, and raises the line if an interrupt was pending.
    pub fn restore(&self, state: &ConsoleState) -> io::Result<()> {
        let mut serial = self.lock();
        if serial.state() != state.0 {
            let (line, out) = (LineTrigger(self.line.clone()), Out(self.out.clone()));
            *serial =
                Serial::from_state(&state.0, line, NoEvents, out).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Sends bytes to the guest, as many as its FIFO can hold, and returns this number.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut serial = self.lock();
        let room = serial.fifo_capacity().min(bytes.len());
        if room == 0 {
            return Ok(0);
        }
        serial.enqueue_raw_bytes(&bytes[..room]).map_err(io::Error::other)
    }

    /// Whether the guest has enabled interrupts for input.
    pub fn interrupts_on_input(&self) -> bool {
        const RECEIVED: u8 = 1;
        self.lock().state().interrupt_enable & RECEIVED != 0
    }

    // The lock is poisoned if a writer panicked; the UART's registers are still consistent.
    fn lock(&self) -> MutexGuard<'_, Uart<L, W>> {
        self.serial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Line, W: Write + Send> PortDevice for Console<L, W> {
    // The registers are 8 bits wide; a wider access reads one register and ones, as on ISA.
    fn read(&self, offset: u16, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(first) = data.first_mut() {
            *first = self.lock().read(offset as u8);
        }
    }

    fn write(&self, offset: u16, data: &[u8]) -> Effect {
        if let Some(&value) = data.first() {
            // A console whose reader is gone, or a line that can't be raised, must not stop the
            // guest: a real UART doesn't notice either.
            let _ = self.lock().write(offset as u8, value);
        }
        Effect::None
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
