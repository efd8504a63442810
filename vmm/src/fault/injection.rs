//! What faults give to vCPUs.

/// What a fault gives a vCPU of a machine that runs in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// An NMI. A vCPU that waits for its SIPI takes none, and one that is pending none more.
    Nmi,
    /// An edge-triggered interrupt, as a device sends it to the vCPU's local APIC, which takes none
    /// while it is disabled, or while one with this vector is pending.
    Interrupt {
        /// The vector.
        vector: u8,
    },
    /// An exception, before the vCPU's next instruction. A vCPU that sleeps takes none.
    Exception {
        /// The vector, below 32.
        vector: u8,
        /// The error code, for those that have one.
        error_code: Option<u32>,
        /// What CR2 becomes.
        address: Option<u64>,
    },
    /// The vCPU's TSC advances by this many nanoseconds at once; it goes back if that is negative.
    TscJump(i64),
    /// The machine's paravirtual clock advances by this many nanoseconds at once; it goes back if
    /// that is negative.
    ClockJump(i64),
    /// The rate of the vCPU's TSC differs by this many millionths.
    TscDrift(i32),
}

/// What a fault does to an access to a model-specific register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrFault {
    /// The access raises #GP.
    Refused,
    /// The read returns this value.
    Reads(u64),
}
