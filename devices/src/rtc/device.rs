//! The real-time clock on the bus.

use super::{RTC_DATA, RTC_INDEX, RTC_LINE, Rtc};
use crate::bus::Region;
use crate::device::{
    Address, Device, Effect, ForeignState, ReadKind, State, Wiring, read_byte, written_byte,
};

impl Rtc {
    /// Its ports.
    pub const REGION: Region = Region::Ports(RTC_INDEX..=RTC_DATA);

    fn set_line(&self, wiring: &mut Wiring) {
        wiring.controller.set_line(RTC_LINE, self.irq());
    }
}

impl Device for Rtc {
    fn read(&mut self, at: Address, data: &mut [u8], wiring: &mut Wiring) {
        read_byte(at, data, |port| {
            let value = Self::read(self, port, wiring.clock.now());
            self.set_line(wiring);
            value
        });
    }

    fn write(&mut self, at: Address, data: &[u8], wiring: &mut Wiring) -> Effect {
        if let Some((port, value)) = written_byte(at, data) {
            Self::write(self, port, value, wiring.clock.now());
            // An interrupt that the guest has just enabled may be due.
            Device::advance(self, wiring);
        }
        Effect::None
    }

    // Reading register C clears it.
    fn read_kind(&self, _at: Address) -> ReadKind {
        ReadKind::Changes
    }

    fn advance(&mut self, wiring: &mut Wiring) {
        Self::advance(self, wiring.clock.now());
        self.set_line(wiring);
    }

    fn next_deadline(&self, _wiring: &Wiring) -> Option<u64> {
        Self::next_deadline(self)
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
