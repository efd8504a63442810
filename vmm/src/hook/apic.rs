//! Events at a vCPU's local APIC, under the controlled scheduler.

pub use devices::lapic::IpiMode;

/// A vCPU's operation on its local APIC, or an event that the local APIC delivers to the vCPU.
/// Hooks are called before it takes effect.
///
/// A write to the interrupt command register or to EOI is reported first as a write, and then as
/// the event that it causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicEvent {
    /// The vCPU reads a register.
    Read {
        /// The register's offset in the LAPIC's page.
        register: u32,
        /// The value that the vCPU gets.
        value: u32,
    },
    /// The vCPU writes a register.
    Write {
        /// The register's offset in the LAPIC's page.
        register: u32,
        /// The value that the vCPU writes.
        value: u32,
    },
    /// The vCPU ends the interrupt that is in service.
    EndOfInterrupt {
        /// The interrupt's vector; `None` if no interrupt is in service.
        vector: Option<u8>,
    },
    /// The vCPU sends an IPI.
    Ipi {
        /// The delivery mode.
        mode: IpiMode,
        /// The target vCPUs: bit n stands for vCPU n. A target may ignore the IPI, for example a
        /// SIPI to a vCPU that already runs.
        targets: u64,
    },
    /// The vCPU gets an INIT and goes back to waiting for a SIPI.
    Init,
    /// The vCPU gets the SIPI that it waits for.
    Startup {
        /// The number of the page where the vCPU starts.
        page: u8,
    },
    /// An NMI is queued for the vCPU.
    Nmi,
    /// The vCPU takes an interrupt.
    Interrupt {
        /// The interrupt's vector.
        vector: u8,
    },
    /// The vCPU has executed HLT and sleeps.
    Halt,
}
