//! The ports by which a guest powers the machine off, or resets it.
//!
//! * ACPI's sleep registers (ACPI 6.5, 4.8.3.7) power it off. The two ports are also those of PM1
//!   control in QEMU's machines: the 16-bit write of 0x2000 to port 0x604, by which small kernels
//!   power QEMU off, has the same effect here.
//! * The reset control register 0xcf9 of PCI chipsets, which is ACPI's reset register here, and the
//!   keyboard controller's command 0xfe reset it. There is no keyboard.

use crate::bus::Region;
use crate::device::{Address, Device, Effect, ForeignState, State, Wiring};

/// ACPI's sleep status register: it reads 0, for the machine never wakes up.
pub const SLEEP_STATUS_PORT: u16 = 0x604;
/// ACPI's sleep control register.
pub const SLEEP_CONTROL_PORT: u16 = 0x605;
/// `SLP_TYP` of the state in which the machine is off, in the sleep control register's bits 2 to 4.
/// No other state is offered, so the value does not matter to this device.
pub const SLEEP_TYPE_OFF: u8 = 0;
/// The reset control register.
pub const RESET_PORT: u16 = 0xcf9;
/// The value that resets the machine: a reset of the whole system, and its start.
pub const RESET_VALUE: u8 = 0x06;
/// The keyboard controller's command and status port.
pub const KEYBOARD_PORT: u16 = 0x64;

/// `SLP_EN` of the sleep control register: the machine enters the state.
const SLEEP_ENABLE: u8 = 1 << 5;
/// `RST_CPU` of the reset control register.
const RESET_CPU: u8 = 1 << 2;
/// The keyboard controller's command that pulses the reset line.
const PULSE_RESET: u8 = 0xfe;

/// All of these ports. They have no state.
#[derive(Debug, Default)]
pub struct PowerPorts;

impl PowerPorts {
    /// The ports.
    pub const REGIONS: [Region; 3] = [
        Region::Ports(SLEEP_STATUS_PORT..=SLEEP_CONTROL_PORT),
        Region::Ports(RESET_PORT..=RESET_PORT),
        Region::Ports(KEYBOARD_PORT..=KEYBOARD_PORT),
    ];
}

impl Device for PowerPorts {
    /// The registers read 0: awake, no reset, and a keyboard controller without data that is ready
    /// for a command.
    fn read(&mut self, _at: Address, data: &mut [u8], _wiring: &mut Wiring) {
        data.fill(0);
    }

    fn write(&mut self, at: Address, data: &[u8], _wiring: &mut Wiring) -> Effect {
        let Address::Port(port) = at else { return Effect::None };
        // A wider write reaches the ports behind this one, too.
        for (port, value) in (port..).zip(data) {
            match port {
                SLEEP_CONTROL_PORT if value & SLEEP_ENABLE != 0 => return Effect::PowerOff,
                RESET_PORT if value & RESET_CPU != 0 => return Effect::Reset,
                KEYBOARD_PORT if *value == PULSE_RESET => return Effect::Reset,
                _ => {}
            }
        }
        Effect::None
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
#[path = "power_tests.rs"]
mod tests;
