//! VMware: its CPUID leaves and its backdoor.

use devices::backdoor::{Backdoor, RegisterPort};

use super::enlightenment::Enlightenment;
use super::{CpuidEntry, Frequencies, SIGNATURE_LEAF};

/// The leaf with the frequencies. Linux, FreeBSD, illumos, NetBSD and XNU use it.
const FREQUENCY_LEAF: u32 = 0x4000_0010;

/// VMware.
pub(super) struct Vmware;

impl Enlightenment for Vmware {
    fn leaves(&self, frequencies: Frequencies) -> Vec<CpuidEntry> {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| b"VMwareVMware"[at + i]));
        vec![
            CpuidEntry {
                leaf: SIGNATURE_LEAF,
                subleaf: None,
                eax: FREQUENCY_LEAF,
                ebx: word(0),
                ecx: word(4),
                edx: word(8),
            },
            // ECX must stay 0: its bits offer VMCALL and VMMCALL, which KVM would answer itself.
            // With 0, Linux uses the backdoor port, which jitterbug answers.
            CpuidEntry {
                leaf: FREQUENCY_LEAF,
                subleaf: None,
                eax: frequencies.tsc_khz,
                ebx: frequencies.bus_khz,
                ecx: 0,
                edx: 0,
            },
        ]
    }

    fn port(&self, frequencies: Frequencies) -> Option<Box<dyn RegisterPort>> {
        Some(Box::new(Backdoor {
            tsc_hz: u64::from(frequencies.tsc_khz) * 1000,
            bus_hz: frequencies.bus_khz.saturating_mul(1000),
        }))
    }
}
