//! Interrupt messages and their targets (SDM vol. 3, 11.6).

use super::Lapic;

/// An interprocessor interrupt, sent by a write to the interrupt command register.
///
/// It has no trigger mode: since the Pentium 4, IPIs are edge-triggered, and the level and trigger
/// bits of the register only distinguish [`IpiMode::InitDeassert`] (11.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipi {
    /// The sender's APIC id.
    pub source: u8,
    /// The delivery mode.
    pub mode: IpiMode,
    /// The destination.
    pub destination: Destination,
}

/// The delivery mode of an IPI, bits 10:8 of the command. Only modes that use a vector contain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpiMode {
    /// 000: an interrupt for each target.
    Fixed {
        /// The vector, at least 16.
        vector: u8,
    },
    /// 001: an interrupt for the target with the lowest priority.
    LowestPriority {
        /// The vector, at least 16.
        vector: u8,
    },
    /// 010: a system management interrupt.
    Smi,
    /// 100: a non-maskable interrupt.
    Nmi,
    /// 101: a reset to the wait-for-SIPI state ([`Lapic::reset`] is the LAPIC's part of it).
    Init,
    /// 101, level-triggered and de-asserted: sets the arbitration ids of the APIC bus. There is no
    /// such bus any more, so nothing has to be done.
    InitDeassert,
    /// 110: leave the wait-for-SIPI state.
    Startup {
        /// The page at which execution starts, in real mode: CS is `vector << 8`, IP is 0.
        vector: u8,
    },
}

/// The destination of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The LAPIC with this id; 0xff means all LAPICs (11.6.2.1).
    Physical(u8),
    /// The LAPICs whose logical destination matches; 0xff means all LAPICs (11.6.2.2).
    Logical(u8),
    /// Shorthand 01: the sender (11.6.2.3).
    Itself,
    /// Shorthand 10: all LAPICs.
    AllIncludingSelf,
    /// Shorthand 11: all LAPICs except the sender's.
    AllExcludingSelf,
}

/// The address that means all LAPICs.
const BROADCAST: u8 = 0xff;

impl Ipi {
    /// Decodes a command. `None` for a reserved delivery mode; vectors below 16 are accepted here.
    pub(super) fn from_command(source: u8, low: u32, high: u32) -> Option<Self> {
        let vector = low as u8;
        let asserted = low & 1 << 14 != 0;
        let level_triggered = low & 1 << 15 != 0;
        let mode = match low >> 8 & 7 {
            0 => IpiMode::Fixed { vector },
            1 => IpiMode::LowestPriority { vector },
            2 => IpiMode::Smi,
            4 => IpiMode::Nmi,
            5 if level_triggered && !asserted => IpiMode::InitDeassert,
            5 => IpiMode::Init,
            6 => IpiMode::Startup { vector },
            _ => return None,
        };
        // Table 11-3 has no NMI, INIT, SMI or SIPI to the sender itself. They are sent
        // nevertheless, as KVM does, so that they do not disappear without notice.
        let destination = match low >> 18 & 3 {
            0 => Destination::from_address(low & 1 << 11 != 0, (high >> 24) as u8),
            1 => Destination::Itself,
            2 => Destination::AllIncludingSelf,
            _ => Destination::AllExcludingSelf,
        };
        Some(Self { source, mode, destination })
    }

    /// The vector of a fixed or lowest-priority interrupt.
    pub fn vector(&self) -> Option<u8> {
        match self.mode {
            IpiMode::Fixed { vector } | IpiMode::LowestPriority { vector } => Some(vector),
            _ => None,
        }
    }

    /// The target LAPICs: bit n stands for `lapics[n]`. LAPICs beyond the first 64 are ignored.
    pub fn targets(&self, lapics: &[Lapic]) -> u64 {
        let lowest = matches!(self.mode, IpiMode::LowestPriority { .. });
        self.destination.resolve(Some(self.source), lowest, lapics)
    }
}

impl Destination {
    /// Decodes a destination field and its mode bit, as in the command register and the IOAPIC's
    /// entries.
    pub(crate) fn from_address(logical: bool, address: u8) -> Self {
        if logical { Self::Logical(address) } else { Self::Physical(address) }
    }

    /// The LAPICs at this destination, or the one of them that a lowest-priority message selects.
    pub(crate) fn resolve(self, source: Option<u8>, lowest: bool, lapics: &[Lapic]) -> u64 {
        let meant = lapics.iter().take(64).enumerate();
        let meant = meant.filter(|(_, lapic)| self.matches(source, lapic));
        if !lowest {
            return meant.fold(0, |set, (cpu, _)| set | 1 << cpu);
        }
        // The arbitration priorities are compared, among the LAPICs that would accept the message.
        // Among equals the hardware may choose freely; here the first is taken, so that runs are
        // repeatable.
        meant
            .filter(|(_, lapic)| lapic.enabled())
            .min_by_key(|(_, lapic)| lapic.arbitration_priority())
            .map_or(0, |(cpu, _)| 1 << cpu)
    }

    fn matches(self, source: Option<u8>, lapic: &Lapic) -> bool {
        match self {
            Self::Physical(BROADCAST) | Self::Logical(BROADCAST) | Self::AllIncludingSelf => true,
            Self::Physical(id) => lapic.id() == id,
            Self::Logical(address) => lapic.is_addressed(address),
            Self::Itself => source == Some(lapic.id()),
            Self::AllExcludingSelf => source != Some(lapic.id()),
        }
    }
}

impl Lapic {
    /// Whether a logical address includes this LAPIC, according to its own LDR and DFR.
    fn is_addressed(&self, address: u8) -> bool {
        match self.destination_model {
            // Flat model: one bit for each of eight LAPICs.
            0xf => address & self.logical_id != 0,
            // Cluster model: four bits for the cluster's number, and one bit for each of its four
            // LAPICs.
            0 => address >> 4 == self.logical_id >> 4 && address & self.logical_id & 0xf != 0,
            // The other models are reserved.
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "ipi_tests.rs"]
mod tests;
