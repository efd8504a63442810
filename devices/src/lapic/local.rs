//! The local vector table: interrupts from inside the LAPIC, and from its two pins (SDM vol. 3,
//! 11.5).

use super::Lapic;
use super::registers::{
    LVT_ACTIVE_LOW, LVT_ENTRIES, LVT_LEVEL, LVT_MASKED, LVT_MODE, LVT_PERIODIC, LVT_REMOTE_IRR,
};

/// The registers of the table. The delivery status (bit 12) always reads as idle: delivery takes no
/// time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LocalVectors([u32; LVT_ENTRIES as usize]);

/// The entries, in the order of their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Timer,
    Thermal,
    Performance,
    Lint0,
    Lint1,
    Error,
}

impl Entry {
    const ALL: [Self; LVT_ENTRIES as usize] =
        [Self::Timer, Self::Thermal, Self::Performance, Self::Lint0, Self::Lint1, Self::Error];

    /// The entry of the table's register `index`.
    pub(super) fn at(index: u32) -> Option<Self> {
        Self::ALL.get(index as usize).copied()
    }

    /// The bits that the guest can set. (figure 11-8)
    fn writable(self) -> u32 {
        0xff | LVT_MASKED
            | match self {
                Self::Timer => LVT_PERIODIC,
                Self::Thermal | Self::Performance => LVT_MODE,
                Self::Lint0 | Self::Lint1 => LVT_MODE | LVT_ACTIVE_LOW | LVT_LEVEL,
                Self::Error => 0,
            }
    }
}

/// A pin of the LAPIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pin {
    /// On a PC, the 8259's output (on the bootstrap processor).
    Lint0,
    /// On a PC, the NMI line.
    Lint1,
}

/// An event from a pin that the processor gets regardless of priorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// A system management interrupt.
    Smi,
    /// A non-maskable interrupt.
    Nmi,
    /// A reset to the wait-for-SIPI state.
    Init,
}

/// Delivery modes, bits 10:8.
mod mode {
    pub(super) const FIXED: u32 = 0;
    pub(super) const SMI: u32 = 2 << 8;
    pub(super) const NMI: u32 = 4 << 8;
    pub(super) const INIT: u32 = 5 << 8;
    pub(super) const EXT_INT: u32 = 7 << 8;
}

impl Default for LocalVectors {
    /// The state after reset: all entries are masked.
    fn default() -> Self {
        Self([LVT_MASKED; LVT_ENTRIES as usize])
    }
}

impl LocalVectors {
    pub(super) fn get(&self, entry: Entry) -> u32 {
        self.0[entry as usize]
    }

    pub(super) fn mask_all(&mut self) {
        for entry in &mut self.0 {
            *entry |= LVT_MASKED;
        }
    }

    /// Writes an entry. Remote IRR, which the guest can't set, is preserved for a level.
    fn set(&mut self, entry: Entry, value: u32) {
        let old = self.0[entry as usize];
        let mut new = value & entry.writable();
        if is_level(entry, new) {
            new |= old & LVT_REMOTE_IRR;
        }
        self.0[entry as usize] = new;
    }

    fn set_remote_irr(&mut self, entry: Entry, set: bool) {
        self.0[entry as usize] &= !LVT_REMOTE_IRR;
        if set {
            self.0[entry as usize] |= LVT_REMOTE_IRR;
        }
    }
}

/// Whether the entry is level-triggered with fixed delivery. Other delivery modes imply their
/// trigger mode, and LINT1 is always edge-triggered.
fn is_level(entry: Entry, value: u32) -> bool {
    entry == Entry::Lint0 && value & LVT_MODE == mode::FIXED && value & LVT_LEVEL != 0
}

impl Lapic {
    /// Sets a pin to asserted or not, independent of its polarity.
    pub fn set_pin(&mut self, pin: Pin, asserted: bool) -> Option<Signal> {
        let entry = match pin {
            Pin::Lint0 => Entry::Lint0,
            Pin::Lint1 => Entry::Lint1,
        };
        let rises = asserted && !self.pins[pin as usize];
        self.pins[pin as usize] = asserted;
        let value = self.local.get(entry);
        if is_level(entry, value) {
            self.sample_level();
            return None;
        }
        if !rises || value & LVT_MASKED != 0 {
            return None;
        }
        match value & LVT_MODE {
            mode::FIXED => {
                self.accept(value as u8, false);
                None
            }
            mode::SMI => Some(Signal::Smi),
            mode::NMI => Some(Signal::Nmi),
            mode::INIT => Some(Signal::Init),
            // ExtINT is level-triggered, see `external_interrupt`. The other modes are reserved.
            _ => None,
        }
    }

    /// Whether an 8259 at a pin requests an interrupt (delivery mode 111). The 8259 provides the
    /// vector, and the LAPIC's priorities don't apply.
    pub fn external_interrupt(&self) -> bool {
        [(Pin::Lint0, Entry::Lint0), (Pin::Lint1, Entry::Lint1)].iter().any(|(pin, entry)| {
            let value = self.local.get(*entry);
            self.pins[*pin as usize] && value & (LVT_MODE | LVT_MASKED) == mode::EXT_INT
        })
    }

    /// Handles a write to the table.
    pub(super) fn write_local(&mut self, entry: Entry, value: u32) {
        // While the LAPIC is disabled by software, mask bits can't be cleared. (11.4.7.2)
        let forced = if self.enabled() { 0 } else { LVT_MASKED };
        self.local.set(entry, value | forced);
        self.sample_level();
    }

    /// Raises an interrupt from inside the LAPIC: timer or error.
    pub(super) fn raise_local(&mut self, entry: Entry) {
        let value = self.local.get(entry);
        if value & LVT_MASKED == 0 {
            self.accept(value as u8, false);
        }
    }

    /// Called when a level-triggered interrupt has ended: LINT0 may request one again.
    pub(super) fn end_local_level(&mut self, vector: u8) {
        let value = self.local.get(Entry::Lint0);
        if is_level(Entry::Lint0, value) && value as u8 == vector {
            self.local.set_remote_irr(Entry::Lint0, false);
            self.sample_level();
        }
    }

    /// Records an error for the next latching of ESR. The first error since the latest write to ESR
    /// raises an interrupt. (11.5.3)
    pub(super) fn record(&mut self, error: u8) {
        let armed = self.errors == 0;
        self.errors |= error;
        if armed {
            self.raise_local(Entry::Error);
        }
    }

    /// Accepts LINT0's interrupt if it is level-triggered, asserted and not yet accepted.
    fn sample_level(&mut self) {
        let value = self.local.get(Entry::Lint0);
        let open = value & (LVT_MASKED | LVT_REMOTE_IRR) == 0;
        if is_level(Entry::Lint0, value) && open && self.pins[Pin::Lint0 as usize] {
            let refused = self.accept(value as u8, true) == super::Acceptance::Refused;
            self.local.set_remote_irr(Entry::Lint0, !refused);
        }
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
