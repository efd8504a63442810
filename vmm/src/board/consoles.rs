//! The guest's consoles: COM1, and the virtio console if the machine has one. Both print to the
//! same output. Input goes to the virtio console alone if there is one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use devices::bus::{Bus, Handle, Region};
use devices::console::{COM1, COM1_PORTS, Console};
use devices::device::Wiring;
use devices::virtio::{self, Mmio, Slot};

use super::listener::Listener;
use crate::exit::Exit;
use crate::memory::SharedMemory;

const NEVER: u64 = u64::MAX;

pub(super) type SerialConsole = Console<Listener>;
pub(super) type VirtioConsole = Mmio<virtio::Console<Listener>, SharedMemory>;

/// The consoles of a machine.
pub(super) struct Consoles {
    serial: Handle<SerialConsole>,
    virtio: Option<(Slot, Handle<VirtioConsole>)>,
    is_linux: bool,
    /// Since when Linux has taken interrupts for input at COM1, in nanoseconds of the machine's
    /// time; [`NEVER`] while it does not.
    input_since: AtomicU64,
}

impl Consoles {
    pub(super) fn new(serial: Handle<SerialConsole>, is_linux: bool) -> Self {
        Self { serial, virtio: None, is_linux, input_since: AtomicU64::new(NEVER) }
    }

    pub(super) fn add_virtio(&mut self, slot: Slot, device: Handle<VirtioConsole>) {
        self.virtio = Some((slot, device));
    }

    /// Sends bytes to the guest, and returns how many it took.
    pub(super) fn send(&self, bus: &Bus, bytes: &[u8], wiring: &mut Wiring) -> io::Result<usize> {
        if let Some((_, device)) = self.virtio {
            return Ok(bus.with(device, |console| console.send(bytes, wiring)).unwrap_or(0));
        }
        if self.is_linux && !self.has_opened_serial(bus, wiring.clock.now()) {
            return Ok(0);
        }
        bus.with(self.serial, |console| console.send(bytes, wiring)).unwrap_or(Ok(0))
    }

    /// Whether Linux has opened COM1: while it does so, it empties the FIFO more than once, before
    /// and just after it enables interrupts for input. A virtio console keeps what its driver has
    /// not passed on.
    fn has_opened_serial(&self, bus: &Bus, now: u64) -> bool {
        /// How long interrupts have been enabled when it has done so, in nanoseconds; it takes
        /// some milliseconds even on an emulated processor.
        const SETTLED: u64 = 100_000_000;
        if !self.interrupts_on_input(bus) {
            self.input_since.store(NEVER, Ordering::Relaxed);
            return false;
        }
        let since = self.input_since.fetch_min(now, Ordering::Relaxed).min(now);
        now - since >= SETTLED
    }

    /// Whether input would interrupt a vCPU.
    pub(super) fn interrupts_on_input(&self, bus: &Bus) -> bool {
        match self.virtio {
            Some((_, device)) => bus.with(device, |console| console.takes_input()),
            None => bus.with(self.serial, |console| console.interrupts_on_input()),
        }
        .unwrap_or(false)
    }

    /// Whether the guest has left bytes unread that were sent to it. What a virtio console has
    /// passed to its driver counts as read.
    pub(super) fn has_unread_input(&self, bus: &Bus) -> bool {
        self.virtio.is_none()
            && bus.with(self.serial, |console| console.has_unread_input()).unwrap_or(false)
    }

    /// Goes on with output that the virtio console has left for later.
    pub(super) fn go_on(&self, bus: &Bus, wiring: &mut Wiring) {
        if let Some((_, device)) = self.virtio {
            bus.with(device, |console| console.go_on(wiring));
        }
    }

    /// Whether a vCPU left the guest to use a console.
    pub(super) fn are_used_by(&self, exit: &Exit) -> bool {
        match exit {
            Exit::PortRead { port, .. } | Exit::PortWrite { port, .. } => {
                (COM1..COM1 + COM1_PORTS).contains(port)
            }
            Exit::MmioRead { address, .. } | Exit::MmioWrite { address, .. } => {
                let is_in = |region| matches!(region, Region::Memory(at) if at.contains(address));
                self.virtio.is_some_and(|(slot, _)| is_in(slot.region()))
            }
            _ => false,
        }
    }

    /// Whether the machine has a virtio console that no driver has used.
    pub(super) fn is_virtio_unused(&self, bus: &Bus) -> bool {
        let is_used =
            |(_, device)| bus.with(device, |console: &mut VirtioConsole| console.is_used());
        self.virtio.and_then(is_used) == Some(false)
    }
}

/// The virtio console's device, whose output goes to `out`.
pub(super) fn virtio_console(
    slot: Slot,
    out: Listener,
    memory: SharedMemory,
    wake: impl Fn() + Send + 'static,
) -> VirtioConsole {
    Mmio::new(slot, virtio::Console::new(out, wake), memory)
}
