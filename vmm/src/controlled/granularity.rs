//! What follows from where the scheduling points are.

use super::ControlledMachine;
pub use crate::granularity::Granularity;
use crate::identity::CpuidEntry;

impl Granularity {
    /// The longest loop that is recognised, in scheduling points.
    pub(super) fn longest_loop(self) -> usize {
        match self {
            Self::Watch => 64,
            Self::Instruction => 1024,
        }
    }

    /// The longest round that is compared to prove a hang.
    pub(super) fn longest_round(self) -> usize {
        4 * self.longest_loop()
    }

    /// How many points each vCPU may go on without progress, unless told otherwise.
    pub fn hang_budget(self) -> u64 {
        match self {
            Self::Watch => ControlledMachine::HANG_BUDGET,
            // A delay loop passes some.
            Self::Instruction => 5 * ControlledMachine::HANG_BUDGET,
        }
    }

    /// Takes out of a CPUID leaf what a controlled machine doesn't answer.
    ///
    /// Registers of x2APIC and of the TSC deadline timer are MSRs that KVM keeps to itself. What tells
    /// of the host's time and work, or of chance, makes a run that can't be repeated: it is not offered.
    pub(super) fn restrict(mut entry: CpuidEntry) -> CpuidEntry {
        const X2APIC: u32 = 1 << 21;
        const TSC_DEADLINE: u32 = 1 << 24;
        const RDRAND: u32 = 1 << 30;
        const TSC_ADJUST: u32 = 1 << 1;
        const RDSEED: u32 = 1 << 18;
        const WAITPKG: u32 = 1 << 5;
        /// KVM's clocks, stolen time and asynchronous page faults: pages that KVM writes by itself
        /// (Linux, Documentation/virt/kvm/x86/cpuid.rst).
        const KVM_PAGES: u32 = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 24;
        match entry.leaf {
            1 => {
                entry.ecx &= !(X2APIC | TSC_DEADLINE | RDRAND);
            }
            7 if entry.subleaf.is_none_or(|subleaf| subleaf == 0) => {
                entry.ebx &= !(TSC_ADJUST | RDSEED);
                entry.ecx &= !WAITPKG;
            }
            // Performance counters count the host's work.
            0xa => {
                (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
            }
            0x4000_0001 => entry.eax &= !KVM_PAGES,
            _ => {}
        }
        entry
    }
}
