//! The two ports by which a guest controls jitterbug itself.
//!
//! Under QEMU, `-device isa-debug-exit,iobase=0xf4,iosize=4` corresponds to the first port, and the
//! second has no device.

use crate::bus::{Effect, PortDevice};

/// The port at which a write ends the run.
pub const END_PORT: u16 = 0xf4;
/// The port at which a write marks the place where a search takes its snapshot.
pub const MARK_PORT: u16 = 0xf5;

/// Both ports, from [`END_PORT`] on. A 32-bit write to the first port is only the code: it has no
/// effect on the second port.
#[derive(Debug, Default)]
pub struct ControlPorts;

impl ControlPorts {
    /// The number of ports.
    pub const PORTS: u16 = 2;
}

impl PortDevice for ControlPorts {
    fn read(&self, _offset: u16, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, offset: u16, data: &[u8]) -> Effect {
        if END_PORT + offset == MARK_PORT {
            return Effect::Mark;
        }
        let mut code = [0; 4];
        let length = data.len().min(4);
        code[..length].copy_from_slice(&data[..length]);
        Effect::End(u32::from_le_bytes(code))
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
