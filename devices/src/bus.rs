//! The port I/O bus: finds the device that answers a port.

use std::sync::Arc;

/// The effect of a write on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// No effect.
    #[default]
    None,
    /// The guest ends the run: 0 is success, any other value is the guest's failure code.
    End(u32),
    /// The guest marks the place where a search takes its snapshot.
    Mark,
}

/// A device that answers port reads and writes. vCPUs call it concurrently, so it locks its own
/// state, but only during a call.
pub trait PortDevice: Send + Sync {
    /// Fills `data` with what the guest reads at `offset` from the device's first port.
    fn read(&self, offset: u16, data: &mut [u8]);

    /// Handles what the guest writes at `offset` from the device's first port.
    fn write(&self, offset: u16, data: &[u8]) -> Effect;
}

/// The error if two devices claim the same port.
#[derive(Debug, thiserror::Error)]
#[error("ports {first:#x}-{last:#x} are taken")]
pub struct Overlap {
    /// The first requested port.
    pub first: u16,
    /// The last requested port.
    pub last: u16,
}

struct Slot {
    first: u16,
    last: u16,
    device: Arc<dyn PortDevice>,
}

/// The ports of a machine. Ports without a device read as all ones and ignore writes, as on a PC.
#[derive(Default)]
pub struct PortBus {
    slots: Vec<Slot>,
}

impl PortBus {
    /// Assigns `count` ports from `first` on to `device`.
    pub fn insert(
        &mut self,
        first: u16,
        count: u16,
        device: Arc<dyn PortDevice>,
    ) -> Result<(), Overlap> {
        let last = first.saturating_add(count.saturating_sub(1));
        if self.slots.iter().any(|slot| slot.first <= last && first <= slot.last) {
            return Err(Overlap { first, last });
        }
        self.slots.push(Slot { first, last, device });
        Ok(())
    }

    /// Answers a read of `data.len()` bytes.
    pub fn read(&self, port: u16, data: &mut [u8]) {
        match self.find(port) {
            Some(slot) => slot.device.read(port - slot.first, data),
            None => data.fill(0xff),
        }
    }

    /// Delivers a write.
    pub fn write(&self, port: u16, data: &[u8]) -> Effect {
        self.find(port).map_or(Effect::None, |slot| slot.device.write(port - slot.first, data))
    }

    // A machine has a handful of devices: scanning one or two cache lines is faster than any tree.
    fn find(&self, port: u16) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.first <= port && port <= slot.last)
    }
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
