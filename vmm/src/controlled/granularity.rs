//! What the controlled scheduler does differently at each granularity.

use super::ControlledMachine;
pub use crate::granularity::Granularity;
use crate::identity::CpuidEntry;

impl Granularity {
    /// The longest loop that is recognised as waiting, in scheduling points.
    pub(super) fn longest_loop(self) -> usize {
        match self {
            Self::Watch => 64,
            Self::Instruction => 1024,
        }
    }

    /// The longest round of a loop that is compared to prove a hang, in scheduling points.
    pub(super) fn longest_round(self) -> usize {
        4 * self.longest_loop()
    }

    /// The default hang budget: the number of points that each vCPU may pass without progress.
    pub fn hang_budget(self) -> u64 {
        match self {
            Self::Watch => ControlledMachine::HANG_BUDGET,
            // A delay loop takes many instructions.
            Self::Instruction => 5 * ControlledMachine::HANG_BUDGET,
        }
    }

    /// Removes from a CPUID leaf what a controlled machine doesn't support.
    ///
    /// The registers of x2APIC and of the TSC deadline timer are MSRs that KVM handles itself.
    /// Features that depend on the host's time, on the host's work or on chance would make a run
    /// unrepeatable.
    pub(super) fn restrict(mut entry: CpuidEntry) -> CpuidEntry {
        const X2APIC: u32 = 1 << 21;
        const TSC_DEADLINE: u32 = 1 << 24;
        const RDRAND: u32 = 1 << 30;
        const TSC_ADJUST: u32 = 1 << 1;
        const RDSEED: u32 = 1 << 18;
        const WAITPKG: u32 = 1 << 5;
        /// The features for which KVM itself writes to pages of the guest: clocks, stolen time and
        /// asynchronous page faults (Linux, Documentation/virt/kvm/x86/cpuid.rst).
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
