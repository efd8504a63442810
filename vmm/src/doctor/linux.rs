//! What Linux would use in ring 0 because CPUID offers it, and what this host's KVM can't do there:
//! it is hidden from the guest. What can't be hidden is said before the boot.

use super::debug_capabilities::verdict;
use super::outcome::Verdict;
use super::test_guest::TestGuest;
use crate::error::{Error, Result};
use crate::identity::CpuidEntry;
use crate::kvm::Host;

/// The features that are hidden from a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    cmpxchg16b: bool,
    popcnt: bool,
    rdtscp: bool,
    /// XSAVE, and everything that needs it.
    xsave: bool,
}

/// How often a self-test is tried that fails.
const TRIES: u32 = 3;

/// The features to hide from a Linux kernel on this host, by self-tests that take some ten
/// milliseconds. Fails if Linux can't boot here at all.
pub(crate) fn hidden_from_linux(host: &Host) -> Result<Hidden> {
    let test_guest = TestGuest::new(host)?;
    let fails = |id: &str| {
        // A self-test that could not be made is no reason to hide anything. One that fails is tried
        // again: its time may have run out on a busy host.
        let fails = || {
            let verdict = verdict(&test_guest, id);
            !matches!(verdict, None | Some(Verdict::Works | Verdict::Untested))
        };
        (0..TRIES).all(|_| fails())
    };
    // Linux tries INT3 before it uses it to change its own code.
    if fails("int3-handler") {
        return Err(Error::Capability {
            capability: "working INT3 instruction in ring 0",
            purpose: "boot Linux, which tries it at each boot; --bed has one",
        });
    }
    let hidden = Hidden {
        cmpxchg16b: fails("cmpxchg16b"),
        popcnt: fails("popcnt"),
        rdtscp: fails("rdtscp"),
        // Where KVM doesn't notice XSETBV, as in QEMU's emulated SVM, it runs the guest with
        // another XCR0 than the guest has set, and XRSTOR fails now and then.
        xsave: fails("xgetbv") || fails("xsetbv"),
    };
    tracing::info!(?hidden, "what this host can't do in ring 0 is hidden from Linux");
    Ok(hidden)
}

impl Hidden {
    /// Clears the bits of the hidden features (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix
    /// E).
    pub(crate) fn restrict(self, mut entry: CpuidEntry) -> CpuidEntry {
        const CMPXCHG16B: u32 = 1 << 13;
        const POPCNT: u32 = 1 << 23;
        const XSAVE: u32 = 1 << 26;
        /// FMA, AVX and F16C.
        const AVX: u32 = 1 << 12 | 1 << 28 | 1 << 29;
        /// Leaf 7: AVX2 and AVX-512 in EBX; PKU and AVX-512 in ECX; AVX-512 and AMX in EDX.
        const LEAF_7_EBX: u32 =
            1 << 5 | 1 << 16 | 1 << 17 | 1 << 21 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 30 | 1 << 31;
        const LEAF_7_ECX: u32 =
            1 << 1 | 1 << 3 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 14;
        const LEAF_7_EDX: u32 = 1 << 2 | 1 << 3 | 1 << 8 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 25;
        const RDTSCP: u32 = 1 << 27;
        /// AMD's XOP and FMA4.
        const XOP: u32 = 1 << 11 | 1 << 16;
        match (entry.leaf, entry.subleaf.unwrap_or(0)) {
            (1, _) => {
                clear(&mut entry.ecx, CMPXCHG16B, self.cmpxchg16b);
                clear(&mut entry.ecx, POPCNT, self.popcnt);
                clear(&mut entry.ecx, XSAVE | AVX, self.xsave);
            }
            (7, 0) => {
                clear(&mut entry.ebx, LEAF_7_EBX, self.xsave);
                clear(&mut entry.ecx, LEAF_7_ECX, self.xsave);
                clear(&mut entry.edx, LEAF_7_EDX, self.xsave);
            }
            // The other subleaves hold more of the same kind.
            (7, _) => clear(&mut entry.eax, u32::MAX, self.xsave),
            // The sizes of the state components.
            (0xd, _) if self.xsave => {
                (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
            }
            (0x8000_0001, _) => {
                clear(&mut entry.edx, RDTSCP, self.rdtscp);
                clear(&mut entry.ecx, XOP, self.xsave);
            }
            _ => {}
        }
        entry
    }
}

fn clear(register: &mut u32, bits: u32, hidden: bool) {
    if hidden {
        *register &= !bits;
    }
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
