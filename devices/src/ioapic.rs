//! The IOAPIC: where devices' interrupt lines become messages to LAPICs.
//!
//! Each of its pins has an entry in the redirection table, which says what a pin's interrupt is (a
//! vector and a delivery mode), whom it is for, and what on the pin means it: an edge or a level. A
//! level asks until it is gone: once sent, the entry's *remote IRR* holds it back until a LAPIC
//! tells that the guest has ended the interrupt, and if the line is still asserted then, it is sent
//! again.
//!
//! Source: Intel 82093AA datasheet (290566), chapter 3; section numbers are its own. The table is
//! reached by two registers, an index and a window.
//!
//! The scheduler gives a [`Message`] to the LAPICs that [`Message::targets`] names, by
//! [`Lapic::accept`](crate::lapic::Lapic::accept), and tells [`IoApic::end_of_interrupt`] of every
//! [`lapic::Effect::EndOfInterrupt`](crate::lapic::Effect::EndOfInterrupt).

use crate::lapic::{Destination, Lapic};

/// Where its registers are on a PC.
pub const IOAPIC_BASE: u64 = 0xfec0_0000;
/// How many bytes it answers for.
pub const IOAPIC_SIZE: u64 = 0x1000;
/// How many interrupt lines it has.
pub const PINS: u8 = 24;

/// Memory-mapped registers. (3.1)
mod window {
    /// IOREGSEL: which register IOWIN is, bits 7:0.
    pub(super) const SELECT: u32 = 0x00;
    /// IOWIN: that register.
    pub(super) const DATA: u32 = 0x10;
}

/// What IOREGSEL can select. (3.2)
mod index {
    /// IOAPICID: bits 27:24.
    pub(super) const ID: u8 = 0x00;
    /// IOAPICVER: bits 7:0 the version, 23:16 the last entry of the table. Read-only.
    pub(super) const VERSION: u8 = 0x01;
    /// IOAPICARB: the arbitration id, bits 27:24. Read-only; a write to the id sets it too.
    pub(super) const ARBITRATION: u8 = 0x02;
    /// IOREDTBL: two registers for each entry, its lower half first.
    pub(super) const TABLE: u8 = 0x10;
    /// The last register of the table.
    pub(super) const TABLE_END: u8 = TABLE + 2 * super::PINS - 1;
}

/// An 82093AA. Later ones (0x20) have an EOI register in reach of the guest, at 0x40; not this.
const VERSION: u32 = 0x11;

/// What the IOAPIC sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The pin it comes from.
    pub pin: u8,
    /// What is sent.
    pub mode: MessageMode,
    /// To whom: physical or logical, there are no shorthands.
    pub destination: Destination,
    /// Level-triggered: [`Lapic::accept`] wants to know. Only vectors can be.
    pub level: bool,
}

/// The delivery mode of an entry, bits 10:8. Only what has a vector has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageMode {
    /// 000: an interrupt for each target.
    Fixed {
        /// As the guest wrote it: a LAPIC refuses one below 16.
        vector: u8,
    },
    /// 001: an interrupt for the target that has the least to do.
    LowestPriority {
        /// As the guest wrote it: a LAPIC refuses one below 16.
        vector: u8,
    },
    /// 010: a system management interrupt.
    Smi,
    /// 100: a non-maskable interrupt.
    Nmi,
    /// 101: a reset to the wait-for-SIPI state.
    Init,
    /// 111: the vector is an 8259's to tell.
    ExtInt,
}

impl Message {
    /// Whom it reaches: bit n is `lapics[n]`. More than 64 LAPICs can't be told, the rest is left
    /// out.
    pub fn targets(&self, lapics: &[Lapic]) -> u64 {
        let lowest = matches!(self.mode, MessageMode::LowestPriority { .. });
        self.destination.resolve(None, lowest, lapics)
    }
}

/// An entry of the redirection table, with its pin. (3.2.4)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    low: u32,
    /// Bits 31:24 are the destination; of a physical one the 82093AA has four bits, xAPICs eight.
    high: u32,
    /// Whether the line is asserted.
    line: bool,
}

impl Entry {
    /// The interrupt's vector is bits 7:0, its delivery mode 10:8.
    const LOGICAL: u32 = 1 << 11;
    /// Remote IRR. Read-only.
    const REMOTE_IRR: u32 = 1 << 14;
    /// Trigger mode: 1 for level.
    const LEVEL: u32 = 1 << 15;
    const MASKED: u32 = 1 << 16;
    /// Delivery status (bit 12) always reads as idle. Polarity (bit 13) is kept and means nothing:
    /// lines are told as asserted or not.
    const WRITABLE: u32 = 0x0001_afff;
    const HIGH_WRITABLE: u32 = 0xff00_0000;

    const RESET: Self = Self { low: Self::MASKED, high: 0, line: false };

    /// `None` for a reserved one (011, 110).
    fn mode(self) -> Option<MessageMode> {
        let vector = self.low as u8;
        match self.low >> 8 & 7 {
            0 => Some(MessageMode::Fixed { vector }),
            1 => Some(MessageMode::LowestPriority { vector }),
            2 => Some(MessageMode::Smi),
            4 => Some(MessageMode::Nmi),
            5 => Some(MessageMode::Init),
            7 => Some(MessageMode::ExtInt),
            _ => None,
        }
    }

    /// All but the vectors are edges, whatever the entry says.
    fn is_level(self) -> bool {
        self.low & Self::LEVEL != 0 && matches!(self.low >> 8 & 7, 0 | 1)
    }

    fn set_low(&mut self, value: u32) {
        self.low = value & Self::WRITABLE | self.low & Self::REMOTE_IRR;
        // Remote IRR means nothing for an edge. Guests count on it: without an EOI register, edge
        // and back is how Linux frees a pin that is stuck.
        if !self.is_level() {
            self.low &= !Self::REMOTE_IRR;
        }
    }

    fn message(self, pin: u8) -> Option<Message> {
        let destination =
            Destination::from_address(self.low & Self::LOGICAL != 0, (self.high >> 24) as u8);
        Some(Message { pin, mode: self.mode()?, destination, level: self.is_level() })
    }

    /// An edge that comes while the pin is masked is lost. (3.2.4, bit 16)
    fn send_edge(self, pin: u8) -> Option<Message> {
        if self.low & Self::MASKED != 0 || self.is_level() { None } else { self.message(pin) }
    }

    /// A level is sent once until it has been served.
    fn send_level(&mut self, pin: u8) -> Option<Message> {
        let open = self.low & (Self::MASKED | Self::REMOTE_IRR) == 0;
        if !(self.line && self.is_level() && open) {
            return None;
        }
        self.low |= Self::REMOTE_IRR;
        self.message(pin)
    }
}

/// The IOAPIC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IoApic {
    select: u8,
    id: u8,
    arbitration: u8,
    entries: [Entry; PINS as usize],
}

impl IoApic {
    /// One whose id firmware has set; 4 bits of it count. All pins are masked.
    pub fn new(id: u8) -> Self {
        let id = id & 0xf;
        Self { select: 0, id, arbitration: id, entries: [Entry::RESET; PINS as usize] }
    }

    /// What the guest reads. Only 32 bits at the two registers are anything.
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            window::SELECT => self.select.into(),
            window::DATA => self.register(),
            _ => 0,
        }
    }

    /// Takes a write of 32 bits. To unmask a pin whose line asks for service sends at once.
    pub fn write(&mut self, offset: u32, value: u32) -> Option<Message> {
        match offset {
            window::SELECT => {
                self.select = value as u8;
                None
            }
            window::DATA => self.set_register(value),
            _ => None,
        }
    }

    /// Sets a line; told is whether it is asserted. Pins that don't exist are wired to nothing.
    pub fn set_line(&mut self, pin: u8, asserted: bool) -> Option<Message> {
        let entry = self.entries.get_mut(usize::from(pin))?;
        let rises = asserted && !entry.line;
        entry.line = asserted;
        if rises && let Some(message) = entry.send_edge(pin) {
            return Some(message);
        }
        entry.send_level(pin)
    }

    /// A LAPIC tells that an interrupt has ended. Pins that sent it and are still asserted send it
    /// again.
    pub fn end_of_interrupt(&mut self, vector: u8) -> Vec<Message> {
        let mut again = Vec::new();
        for (pin, entry) in (0..).zip(&mut self.entries) {
            if entry.low & Entry::REMOTE_IRR != 0 && entry.low as u8 == vector {
                entry.low &= !Entry::REMOTE_IRR;
                again.extend(entry.send_level(pin));
            }
        }
        again
    }

    /// No LAPIC took the pin's message: remote IRR is set by acceptance (3.2.4), so it is not. The
    /// pin sends again when its line is next told to be asserted, or its entry is written.
    pub fn refused(&mut self, pin: u8) {
        if let Some(entry) = self.entries.get_mut(usize::from(pin)) {
            entry.low &= !Entry::REMOTE_IRR;
        }
    }

    /// Whether a pin is masked: nobody hears it. True of pins that don't exist.
    pub fn masked(&self, pin: u8) -> bool {
        self.entries.get(usize::from(pin)).is_none_or(|entry| entry.low & Entry::MASKED != 0)
    }

    fn register(&self) -> u32 {
        match self.select {
            index::ID => u32::from(self.id) << 24,
            index::VERSION => VERSION | u32::from(PINS - 1) << 16,
            index::ARBITRATION => u32::from(self.arbitration) << 24,
            index::TABLE..=index::TABLE_END => {
                let entry = self.entries[usize::from((self.select - index::TABLE) / 2)];
                if self.select.is_multiple_of(2) { entry.low } else { entry.high }
            }
            _ => 0,
        }
    }

    fn set_register(&mut self, value: u32) -> Option<Message> {
        match self.select {
            index::ID => {
                self.id = (value >> 24) as u8 & 0xf;
                self.arbitration = self.id;
                None
            }
            index::TABLE..=index::TABLE_END => {
                let pin = (self.select - index::TABLE) / 2;
                let entry = &mut self.entries[usize::from(pin)];
                if self.select.is_multiple_of(2) {
                    entry.set_low(value);
                } else {
                    entry.high = value & Entry::HIGH_WRITABLE;
                }
                entry.send_level(pin)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "ioapic_tests.rs"]
mod tests;
