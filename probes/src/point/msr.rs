//! Points at model-specific registers.

use std::fmt;

/// An access to one model-specific register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msr {
    /// The register's number.
    pub index: u32,
    /// Whether the access is a WRMSR; an RDMSR otherwise.
    pub write: bool,
}

/// The registers for which `MSR_Read` and `MSR_Write` without a number stand: the architectural
/// registers by which a kernel sets up its processor (Intel SDM volume 4, table 2-2, and AMD APM
/// volume 2, appendix A). Registers that count time are left out, because handling their accesses
/// on the host changes the values that the guest reads.
pub const USUAL: &[u32] = &[
    0x1b,        // IA32_APIC_BASE
    0x174,       // IA32_SYSENTER_CS
    0x175,       // IA32_SYSENTER_ESP
    0x176,       // IA32_SYSENTER_EIP
    0x1a0,       // IA32_MISC_ENABLE
    0x277,       // IA32_PAT
    0x2ff,       // IA32_MTRR_DEF_TYPE
    0xc000_0080, // IA32_EFER
    0xc000_0081, // IA32_STAR
    0xc000_0082, // IA32_LSTAR
    0xc000_0083, // IA32_CSTAR
    0xc000_0084, // IA32_FMASK
    0xc000_0100, // IA32_FS_BASE
    0xc000_0101, // IA32_GS_BASE
    0xc000_0102, // IA32_KERNEL_GS_BASE
    0xc000_0103, // IA32_TSC_AUX
];

impl fmt::Display for Msr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:#x}", if self.write { "MSR_Write" } else { "MSR_Read" }, self.index)
    }
}
