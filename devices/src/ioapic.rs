//! The IOAPIC, which turns the interrupt lines of devices into messages to LAPICs.
//!
//! Each of its pins has an entry in the redirection table. The entry says what the pin's interrupt
//! is (a vector and a delivery mode), which LAPICs it is for, and how the pin is triggered: by an
//! edge or by a level. A level-triggered interrupt is requested as long as the line is asserted.
//! Once it has been sent, the entry's *remote IRR* blocks it until a LAPIC reports that the guest
//! has ended the interrupt; if the line is still asserted then, it is sent again.
//!
//! Source: Intel 82093AA datasheet (290566), chapter 3; section numbers refer to it. The table is
//! accessed by two registers, an index and a window.
//!
//! The scheduler passes a [`Message`] to the LAPICs that [`Message::targets`] names, by
//! [`Lapic::accept`](crate::lapic::Lapic::accept), and calls [`IoApic::end_of_interrupt`] for every
//! [`lapic::Effect::EndOfInterrupt`](crate::lapic::Effect::EndOfInterrupt).

use crate::lapic::{Destination, Lapic};

/// The address of its registers on a PC.
pub const IOAPIC_BASE: u64 = 0xfec0_0000;
/// The number of bytes of its address range.
pub const IOAPIC_SIZE: u64 = 0x1000;
/// The number of its pins.
pub const PINS: u8 = 24;

/// Memory-mapped registers. (3.1)
mod window {
    /// IOREGSEL: selects the register that IOWIN accesses, bits 7:0.
    pub(super) const SELECT: u32 = 0x00;
    /// IOWIN: the selected register.
    pub(super) const DATA: u32 = 0x10;
}

/// The registers that IOREGSEL can select. (3.2)
mod index {
    /// IOAPICID: bits 27:24.
    pub(super) const ID: u8 = 0x00;
    /// IOAPICVER: bits 7:0 the version, 23:16 the last entry of the table. Read-only.
    pub(super) const VERSION: u8 = 0x01;
    /// IOAPICARB: the arbitration id, bits 27:24. Read-only; a write to the id sets it, too.
    pub(super) const ARBITRATION: u8 = 0x02;
    /// IOREDTBL: two registers for each entry, the lower half first.
    pub(super) const TABLE: u8 = 0x10;
    /// The last register of the table.
    pub(super) const TABLE_END: u8 = TABLE + 2 * super::PINS - 1;
}

/// The version of an 82093AA. Later ones (0x20) have an EOI register at 0x40, which this one lacks.
const VERSION: u32 = 0x11;

/// A message from the IOAPIC to LAPICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The pin that causes it.
    pub pin: u8,
    /// The delivery mode.
    pub mode: MessageMode,
    /// The destination: physical or logical; there are no shorthands.
    pub destination: Destination,
    /// Whether it is level-triggered, for [`Lapic::accept`]. Only messages with a vector can be.
    pub level: bool,
}

/// The delivery mode of an entry, bits 10:8. Only modes that use a vector contain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageMode {
    /// 000: an interrupt for each target.
    Fixed {
        /// The vector as the guest wrote it: a LAPIC refuses vectors below 16.
        vector: u8,
    },
    /// 001: an interrupt for the target with the lowest priority.
    LowestPriority {
        /// The vector as the guest wrote it: a LAPIC refuses vectors below 16.
        vector: u8,
    },
    /// 010: a system management interrupt.
    Smi,
    /// 100: a non-maskable interrupt.
    Nmi,
    /// 101: a reset to the wait-for-SIPI state.
    Init,
    /// 111: an 8259 provides the vector.
    ExtInt,
}

impl Message {
    /// The target LAPICs: bit n stands for `lapics[n]`. LAPICs beyond the first 64 are ignored.
    pub fn targets(&self, lapics: &[Lapic]) -> u64 {
        let lowest = matches!(self.mode, MessageMode::LowestPriority { .. });
        self.destination.resolve(None, lowest, lapics)
    }
}

/// An entry of the redirection table, with its pin. (3.2.4)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    low: u32,
    /// Bits 31:24 are the destination. A physical destination has four bits on the 82093AA, eight
    /// on xAPICs.
    high: u32,
    /// Whether the line is asserted.
    line: bool,
}

impl Entry {
    /// The destination mode. (Bits 7:0 are the interrupt's vector, bits 10:8 its delivery mode.)
    const LOGICAL: u32 = 1 << 11;
    /// Remote IRR. Read-only.
    const REMOTE_IRR: u32 = 1 << 14;
    /// Trigger mode: 1 for level.
    const LEVEL: u32 = 1 << 15;
    const MASKED: u32 = 1 << 16;
    /// The writable bits. The delivery status (bit 12) always reads as idle. The polarity (bit 13)
    /// is stored without effect: lines are set as asserted or not.
    const WRITABLE: u32 = 0x0001_afff;
    const HIGH_WRITABLE: u32 = 0xff00_0000;

    const RESET: Self = Self { low: Self::MASKED, high: 0, line: false };

    /// The delivery mode; `None` for a reserved one (011, 110).
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

    /// Whether the entry is level-triggered. Modes without a vector are always edge-triggered.
    fn is_level(self) -> bool {
        self.low & Self::LEVEL != 0 && matches!(self.low >> 8 & 7, 0 | 1)
    }

    fn set_low(&mut self, value: u32) {
        self.low = value & Self::WRITABLE | self.low & Self::REMOTE_IRR;
        // Remote IRR has no meaning for an edge. Guests rely on this: without an EOI register,
        // Linux frees a stuck pin by switching it to edge and back.
        if !self.is_level() {
            self.low &= !Self::REMOTE_IRR;
        }
    }

    fn message(self, pin: u8) -> Option<Message> {
        let destination =
            Destination::from_address(self.low & Self::LOGICAL != 0, (self.high >> 24) as u8);
        Some(Message { pin, mode: self.mode()?, destination, level: self.is_level() })
    }

    /// Sends an edge. An edge that occurs while the pin is masked is lost. (3.2.4, bit 16)
    fn send_edge(self, pin: u8) -> Option<Message> {
        if self.low & Self::MASKED != 0 || self.is_level() { None } else { self.message(pin) }
    }

    /// Sends a level, once until it has been served.
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
    /// An IOAPIC whose id was set by firmware; only 4 bits of it are used. All pins are masked.
    pub fn new(id: u8) -> Self {
        let id = id & 0xf;
        Self { select: 0, id, arbitration: id, entries: [Entry::RESET; PINS as usize] }
    }

    /// Reads a register. Offsets other than those of the two registers read as 0.
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            window::SELECT => self.select.into(),
            window::DATA => self.register(),
            _ => 0,
        }
    }

    /// Handles a 32-bit write. Unmasking a pin whose line is asserted sends its message at once.
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

    /// Sets a line to asserted or not. Pins that don't exist are ignored.
    pub fn set_line(&mut self, pin: u8, asserted: bool) -> Option<Message> {
        let entry = self.entries.get_mut(usize::from(pin))?;
        let rises = asserted && !entry.line;
        entry.line = asserted;
        if rises && let Some(message) = entry.send_edge(pin) {
            return Some(message);
        }
        entry.send_level(pin)
    }

    /// Called when a LAPIC reports the end of an interrupt. Pins that sent the interrupt and are
    /// still asserted send it again.
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

    /// Called when no LAPIC has accepted the pin's message: remote IRR is set by acceptance
    /// (3.2.4), so it is cleared. The pin sends again when its line is next set to asserted, or its
    /// entry is written.
    pub fn refused(&mut self, pin: u8) {
        if let Some(entry) = self.entries.get_mut(usize::from(pin)) {
            entry.low &= !Entry::REMOTE_IRR;
        }
    }

    /// Whether a pin is masked. True for pins that don't exist.
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
