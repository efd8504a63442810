//! Port 0x61 of a PC without a PIT: "NMI Status and Control". A guest that gets an NMI reads there
//! whether a memory error (bit 7, SERR#) or a device (bit 6, IOCHK#) is its cause. Nothing in this
//! machine is, so these bits are 0: a user or a script sent the NMI.
//!
//! Source: Intel ICH datasheet, "NMI Status and Control Register". With a PIT, the port is
//! [`Pit`](crate::pit::Pit)'s.

use crate::bus::Region;
use crate::device::{
    Address, Device, Effect, ForeignState, ReadKind, State, Wiring, read_byte, written_byte,
};

/// The port.
const PORT: u16 = 0x61;
/// The bits that are as they were written: counter 2's gate, the speaker, and two that enable NMIs
/// which never come.
const KEPT: u8 = 0b1111;
/// The refresh request, which toggles every 15 us. Read-only.
const REFRESH: u8 = 1 << 4;
/// The time between its changes, in nanoseconds.
const REFRESH_TIME: u64 = 15_085;
/// The output of counter 2. There is no such counter; a guest that waits for its end must not wait
/// for ever. Read-only.
const OUTPUT: u8 = 1 << 5;

/// The register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NmiStatus {
    kept: u8,
}

impl NmiStatus {
    /// Its port.
    pub const REGION: Region = Region::Ports(PORT..=PORT);
}

impl Device for NmiStatus {
    fn read(&mut self, at: Address, data: &mut [u8], wiring: &mut Wiring) {
        let refresh = wiring.clock.now() / REFRESH_TIME % 2;
        let refresh = if refresh == 0 { 0 } else { REFRESH };
        read_byte(at, data, |_| self.kept | OUTPUT | refresh);
    }

    fn write(&mut self, at: Address, data: &[u8], _wiring: &mut Wiring) -> Effect {
        if let Some((_, value)) = written_byte(at, data) {
            self.kept = value & KEPT;
        }
        Effect::None
    }

    // The refresh request depends on the time.
    fn read_kind(&self, _at: Address) -> ReadKind {
        ReadKind::Clock
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn save(&self) -> State {
        State::new(*self)
    }

    fn restore(&mut self, state: &State) -> Result<(), ForeignState> {
        *self = *state.get()?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "nmi_status_tests.rs"]
mod tests;
