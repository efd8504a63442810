//! The two ports by which a guest controls jitterbug itself.
//!
//! Under QEMU, `-device isa-debug-exit,iobase=0xf4,iosize=4` corresponds to the first port, and the
//! second has no device.

use crate::bus::Region;
use crate::device::{Address, Device, Effect, ForeignState, State, Wiring};

/// The port at which a write ends the run.
pub const END_PORT: u16 = 0xf4;
/// The port at which a write marks the place where a search takes its snapshot.
pub const MARK_PORT: u16 = 0xf5;

/// Both ports, from [`END_PORT`] on. A 32-bit write to the first port is only the code: it has no
/// effect on the second port.
#[derive(Debug, Default)]
pub struct ControlPorts;

impl ControlPorts {
    /// The ports.
    pub const REGION: Region = Region::Ports(END_PORT..=MARK_PORT);
}

impl Device for ControlPorts {
    fn read(&mut self, _at: Address, data: &mut [u8], _wiring: &mut Wiring) {
        data.fill(0xff);
    }

    fn write(&mut self, at: Address, data: &[u8], _wiring: &mut Wiring) -> Effect {
        if at == Address::Port(MARK_PORT) {
            return Effect::Mark;
        }
        let mut code = [0; 4];
        let length = data.len().min(4);
        code[..length].copy_from_slice(&data[..length]);
        Effect::End(u32::from_le_bytes(code))
    }

    fn reset(&mut self) {}

    fn save(&self) -> State {
        State::new(())
    }

    fn restore(&mut self, state: &State) -> Result<(), ForeignState> {
        state.get::<()>().copied()
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
