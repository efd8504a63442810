//! What faults give to vCPUs.

/// What a fault gives a vCPU of a machine that runs in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// An NMI. A vCPU that waits for its SIPI takes none.
    Nmi,
    /// An edge-triggered interrupt, as a device sends it to the vCPU's local APIC, which takes none
    /// while it is disabled.
    Interrupt {
        /// The vector.
        vector: u8,
    },
}
