//! The bus: it finds the device that answers a port or a guest-physical address.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::{Address, Device, Effect, ForeignState, ReadKind, State, Wiring};

/// The addresses of a device, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Region {
    /// I/O ports.
    Ports(RangeInclusive<u16>),
    /// Guest-physical addresses.
    Memory(RangeInclusive<u64>),
}

impl Region {
    fn contains(&self, at: Address) -> bool {
        match (self, at) {
            (Self::Ports(ports), Address::Port(port)) => ports.contains(&port),
            (Self::Memory(range), Address::Memory(address)) => range.contains(&address),
            _ => false,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        fn overlap<T: PartialOrd>(one: &RangeInclusive<T>, other: &RangeInclusive<T>) -> bool {
            one.start() <= other.end() && other.start() <= one.end()
        }
        match (self, other) {
            (Self::Ports(one), Self::Ports(other)) => overlap(one, other),
            (Self::Memory(one), Self::Memory(other)) => overlap(one, other),
            _ => false,
        }
    }
}

/// The error if two devices claim the same address.
#[derive(Debug, thiserror::Error)]
#[error("{0:x?} is taken")]
pub struct Overlap(pub Region);

/// A device on the bus, by its type and place.
pub struct Handle<D> {
    number: usize,
    device: PhantomData<fn() -> D>,
}

impl<D> Clone for Handle<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Handle<D> {}

/// The devices of a machine, except its interrupt controller, which a call brings along in its
/// [`Wiring`]: devices raise their lines at it. An address that belongs to no device is the
/// controller's. If it has no register there, reads return all ones and writes do nothing, as on a
/// PC.
#[derive(Default)]
pub struct Bus {
    regions: Vec<(Region, usize)>,
    // vCPUs in threads of their own call devices concurrently. Where one thread runs all vCPUs, a
    // lock that is never contended costs some nanoseconds an access.
    devices: Vec<Mutex<Box<dyn Device>>>,
}

impl Bus {
    /// Adds a device at these addresses. Fails if one of them is taken.
    pub fn insert<D: Device>(
        &mut self,
        device: D,
        regions: impl IntoIterator<Item = Region>,
    ) -> Result<Handle<D>, Overlap> {
        let number = self.devices.len();
        for region in regions {
            if self.regions.iter().any(|(other, _)| other.overlaps(&region)) {
                self.regions.retain(|(_, owner)| *owner != number);
                return Err(Overlap(region));
            }
            self.regions.push((region, number));
        }
        self.devices.push(Mutex::new(Box::new(device)));
        Ok(Handle { number, device: PhantomData })
    }

    /// Answers a read of `data.len()` bytes by a vCPU.
    pub fn read(&self, vcpu: u32, at: Address, data: &mut [u8], wiring: &mut Wiring) {
        if let Some(device) = self.find(at) {
            lock(device).read(at, data, wiring);
        } else {
            let now = wiring.clock.now();
            if !wiring.controller.read(vcpu, at, data, now) {
                data.fill(0xff);
            }
        }
    }

    /// Delivers a write by a vCPU.
    pub fn write(&self, vcpu: u32, at: Address, data: &[u8], wiring: &mut Wiring) -> Effect {
        if let Some(device) = self.find(at) {
            return lock(device).write(at, data, wiring);
        }
        let now = wiring.clock.now();
        wiring.controller.write(vcpu, at, data, now);
        Effect::None
    }

    /// Whether a device has this address.
    pub fn has(&self, at: Address) -> bool {
        self.find(at).is_some()
    }

    /// What a read at this address depends on; plain if no device is there.
    pub fn read_kind(&self, at: Address) -> ReadKind {
        self.find(at).map_or(ReadKind::Plain, |device| lock(device).read_kind(at))
    }

    /// Calls every device, because time has passed.
    pub fn advance(&mut self, wiring: &mut Wiring) {
        for device in &mut self.devices {
            device.get_mut().unwrap_or_else(PoisonError::into_inner).advance(wiring);
        }
    }

    /// The deadlines of the devices.
    pub fn deadlines<'a>(&'a self, wiring: &'a Wiring) -> impl Iterator<Item = u64> + 'a {
        self.devices.iter().filter_map(|device| lock(device).next_deadline(wiring))
    }

    /// Calls a device by its own type, for something other than an access of the guest.
    pub fn with<D: Device, T>(
        &self,
        device: Handle<D>,
        call: impl FnOnce(&mut D) -> T,
    ) -> Option<T> {
        let mut device = lock(self.devices.get(device.number)?);
        let device: &mut dyn Any = &mut **device;
        device.downcast_mut().map(call)
    }

    /// Resets every device.
    pub fn reset(&mut self) {
        for device in &self.devices {
            lock(device).reset();
        }
    }

    /// Saves the state of every device.
    pub fn save(&self) -> Vec<State> {
        self.devices.iter().map(|device| lock(device).save()).collect()
    }

    /// Restores what [`Bus::save`] saved. Fails if another bus saved it.
    pub fn restore(&mut self, states: &[State]) -> Result<(), ForeignState> {
        if states.len() != self.devices.len() {
            return Err(ForeignState);
        }
        for (device, state) in self.devices.iter_mut().zip(states) {
            device.get_mut().unwrap_or_else(PoisonError::into_inner).restore(state)?;
        }
        Ok(())
    }

    // A machine has a handful of devices: scanning one or two cache lines is faster than any tree.
    fn find(&self, at: Address) -> Option<&Mutex<Box<dyn Device>>> {
        let (_, number) = self.regions.iter().find(|(region, _)| region.contains(at))?;
        self.devices.get(*number)
    }
}

// A lock is poisoned if a device panicked in a call; its state is still consistent enough to read.
fn lock(device: &Mutex<Box<dyn Device>>) -> MutexGuard<'_, Box<dyn Device>> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
