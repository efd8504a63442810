//! What happens at a vCPU's local APIC, in the controlled scheduler.

pub use devices::lapic::IpiMode;

/// Something that a vCPU does to its local APIC, or that reaches it from there. It has not taken
/// effect yet when a hook is told.
///
/// A write to the interrupt command register or to EOI is told as a write, and then as what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicEvent {
    /// The vCPU reads a register: its offset in the LAPIC's page, and what it gets.
    Read {
        /// Offset.
        register: u32,
        /// The value.
        value: u32,
    },
    /// The vCPU writes a register.
    Write {
        /// Offset.
        register: u32,
        /// The value.
        value: u32,
    },
    /// It ends the interrupt that it serves; `None` if it serves none.
    EndOfInterrupt {
        /// That interrupt's vector.
        vector: Option<u8>,
    },
    /// It sends an interrupt.
    Ipi {
        /// What it sends.
        mode: IpiMode,
        /// To whom: bit n is vCPU n. None of them may take it: a SIPI to one that runs, for example.
        targets: u64,
    },
    /// INIT reaches it: it goes back to waiting for a SIPI.
    Init,
    /// It waits for a SIPI, which comes.
    Startup {
        /// The page where it starts.
        page: u8,
    },
    /// An NMI is queued for it.
    Nmi,
    /// It takes an interrupt.
    Interrupt {
        /// Its vector.
        vector: u8,
    },
    /// It has executed HLT, and sleeps.
    Halt,
}
