//! The two ports by which a guest speaks to jitterbug itself.
//!
//! Under QEMU, `-device isa-debug-exit,iobase=0xf4,iosize=4` takes the first one's place, and
//! nobody listens at the second.

use crate::bus::{Effect, PortDevice};

/// A write here ends the run.
pub const END_PORT: u16 = 0xf4;
/// A write here marks the place where a search takes its snapshot.
pub const MARK_PORT: u16 = 0xf5;

/// Both ports, from [`END_PORT`]. A 32-bit write to the first is the code alone: it doesn't reach
/// the second.
#[derive(Debug, Default)]
pub struct ControlPorts;

impl ControlPorts {
    /// How many ports it takes.
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
