//! The PIT on the bus.

use super::{PIT_FIRST, PIT_LINE, PIT_PORTS, Pit, SPEAKER_PORT};
use crate::bus::Region;
use crate::device::{
    Address, Device, Effect, ForeignState, ReadKind, State, Wiring, read_byte, written_byte,
};

impl Pit {
    /// Its ports.
    pub const REGIONS: [Region; 2] = [
        Region::Ports(PIT_FIRST..=PIT_FIRST + PIT_PORTS - 1),
        Region::Ports(SPEAKER_PORT..=SPEAKER_PORT),
    ];
}

impl Device for Pit {
    fn read(&mut self, at: Address, data: &mut [u8], wiring: &mut Wiring) {
        read_byte(at, data, |port| Self::read(self, port, wiring.clock.now()));
    }

    fn write(&mut self, at: Address, data: &[u8], wiring: &mut Wiring) -> Effect {
        if let Some((port, value)) = written_byte(at, data) {
            Self::write(self, port, value, wiring.clock.now());
            // A new mode can take the output high.
            Device::advance(self, wiring);
        }
        Effect::None
    }

    // All reads depend on time: they return counters or states of outputs. (A read also advances to
    // the next byte of a counter.)
    fn read_kind(&self, _at: Address) -> ReadKind {
        ReadKind::Clock
    }

    fn advance(&mut self, wiring: &mut Wiring) {
        // The edges of a masked line are taken when it is unmasked.
        if !wiring.controller.is_masked(PIT_LINE) && Self::advance(self, wiring.clock.now()) > 0 {
            wiring.pulse(PIT_LINE);
        }
    }

    fn next_deadline(&self, wiring: &Wiring) -> Option<u64> {
        // A masked interrupt can wake no vCPU.
        if wiring.controller.is_masked(PIT_LINE) { None } else { Self::next_deadline(self) }
    }

    fn reset(&mut self) {
        *self = Self::new();
    }

    fn save(&self) -> State {
        State::new(self.clone())
    }

    fn restore(&mut self, state: &State) -> Result<(), ForeignState> {
        self.clone_from(state.get()?);
        Ok(())
    }
}
