//! What CPUID tells the guest: which hypervisor it runs on, and which of its vCPUs this one is.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::registers::SystemRegisters;

/// The hypervisor that the guest believes to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// VMware: its signature, its frequencies and its backdoor port.
    #[default]
    Vmware,
    /// KVM as it is.
    Kvm,
    /// None: the hypervisor bit is clear.
    None,
}

impl Identity {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vmware => "vmware",
            Self::Kvm => "kvm",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Identity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Vmware, Self::Kvm, Self::None].into_iter().find(|i| i.name() == text).ok_or_else(
            || Error::Config {
                setting: "--identity",
                value: text.into(),
                problem: "give vmware, kvm or none".into(),
            },
        )
    }
}

/// One CPUID leaf, or subleaf, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the registers
pub struct CpuidEntry {
    /// EAX on the way in.
    pub leaf: u32,
    /// ECX on the way in, where it matters.
    pub subleaf: Option<u32>,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// The frequencies that guests take on trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// The TSC in kHz.
    pub tsc_khz: u32,
    /// The local APIC timer's bus in kHz; KVM's default is 1 GHz.
    pub bus_khz: u32,
}

/// The first leaf of a hypervisor: its signature.
const SIGNATURE_LEAF: u32 = 0x4000_0000;
/// VMware's leaf with the frequencies. Linux, FreeBSD, illumos, NetBSD and XNU believe it.
const FREQUENCY_LEAF: u32 = 0x4000_0010;
/// The leaves that belong to hypervisors.
const HYPERVISOR_LEAVES: std::ops::RangeInclusive<u32> = 0x4000_0000..=0x4fff_ffff;
/// Leaf 1, ECX: a hypervisor is present.
const HYPERVISOR_BIT: u32 = 1 << 31;
/// Leaf 1, EDX: EBX holds a count of logical processors.
const HTT_BIT: u32 = 1 << 28;

/// The leaves that vCPU `vcpu` of `vcpus` sees, made from those that KVM supports.
pub fn cpuid(
    supported: &[CpuidEntry],
    identity: Identity,
    frequencies: Frequencies,
    vcpu: u32,
    vcpus: u32,
) -> Vec<CpuidEntry> {
    let topology = Topology { vcpu, vcpus };
    let mut leaves: Vec<_> = supported
        .iter()
        .copied()
        .filter(|entry| identity == Identity::Kvm || !HYPERVISOR_LEAVES.contains(&entry.leaf))
        .filter(|entry| !Topology::LEAVES.contains(&entry.leaf))
        .collect();
    for entry in &mut leaves {
        if entry.leaf == 1 {
            entry.ecx = entry.ecx & !HYPERVISOR_BIT
                | if identity == Identity::None { 0 } else { HYPERVISOR_BIT };
        }
        topology.adapt(entry);
    }
    for leaf in Topology::LEAVES {
        if supported.iter().any(|entry| entry.leaf == leaf) {
            leaves.extend(topology.extended(leaf));
        }
    }
    if identity == Identity::Vmware {
        leaves.extend(vmware(frequencies));
    }
    leaves
}

/// What CPUID answers with these leaves on a processor in this state, as KVM has it.
pub fn answer(
    leaves: &[CpuidEntry],
    leaf: u32,
    subleaf: u32,
    system: &SystemRegisters,
) -> CpuidEntry {
    let find = |leaf, subleaf| {
        let same = |it: &&CpuidEntry| it.leaf == leaf && it.subleaf.is_none_or(|it| it == subleaf);
        leaves.iter().find(same).copied()
    };
    let mut answer = find(leaf, subleaf).unwrap_or_else(|| {
        let nothing = CpuidEntry { leaf, subleaf: None, eax: 0, ebx: 0, ecx: 0, edx: 0 };
        // Topology goes on behind its last level, with the id of the processor.
        if Topology::LEAVES.contains(&leaf) {
            let edx = find(leaf, 1).map_or(0, |level| level.edx);
            return CpuidEntry { ecx: subleaf & 0xff, edx, ..nothing };
        }
        // On Intel's, what lies behind the last leaf of a range answers as the last basic one.
        let first = find(0, 0).unwrap_or(nothing);
        let range = find(leaf & 0xf000_0000, 0).or(find(leaf & 0x8000_0000, 0)).unwrap_or(first);
        let is_intel = first.ebx == u32::from_le_bytes(*b"Genu");
        if is_intel && leaf > range.eax {
            find(first.eax, subleaf).unwrap_or(nothing)
        } else {
            nothing
        }
    });
    // Bits that say what the processor is set to.
    let bit =
        |word: &mut u32, bit: u32, set: bool| *word = *word & !bit | if set { bit } else { 0 };
    match leaf {
        1 => {
            bit(&mut answer.ecx, 1 << 27, system.cr4 & SystemRegisters::CR4_OSXSAVE != 0);
            bit(&mut answer.edx, 1 << 9, system.apic_base & SystemRegisters::APIC_ENABLED != 0);
        }
        7 if subleaf == 0 => {
            bit(&mut answer.ecx, 1 << 4, system.cr4 & SystemRegisters::CR4_PKE != 0);
        }
        _ => {}
    }
    answer
}

fn vmware(frequencies: Frequencies) -> [CpuidEntry; 2] {
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| b"VMwareVMware"[at + i]));
    [
        CpuidEntry {
            leaf: SIGNATURE_LEAF,
            subleaf: None,
            eax: FREQUENCY_LEAF,
            ebx: word(0),
            ecx: word(4),
            edx: word(8),
        },
        // ECX must stay 0: it offers VMCALL and VMMCALL, which KVM would answer itself; with 0,
        // Linux uses the port, which is ours.
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

/// One package, a core for each vCPU, a thread for each core; the APIC id is the vCPU's number.
#[derive(Clone, Copy)]
struct Topology {
    vcpu: u32,
    vcpus: u32,
}

impl Topology {
    /// The extended topology leaves (Intel SDM vol. 2, CPUID, leaves 0BH and 1FH).
    const LEAVES: [u32; 2] = [0xb, 0x1f];

    /// How many bits of the APIC id tell the cores of the package apart.
    fn core_bits(self) -> u32 {
        self.vcpus.next_power_of_two().trailing_zeros()
    }

    fn adapt(self, entry: &mut CpuidEntry) {
        match entry.leaf {
            1 => {
                entry.ebx = entry.ebx & 0x0000_ffff | self.vcpus.min(255) << 16 | self.vcpu << 24;
                entry.edx = entry.edx & !HTT_BIT | if self.vcpus > 1 { HTT_BIT } else { 0 };
            }
            // Intel's caches, and AMD's where it has the leaf: level 3 is the package's, the rest
            // a core's own. Intel's leaf also counts the cores.
            4 | 0x8000_001d if entry.eax & 0x1f != 0 => {
                let level = entry.eax >> 5 & 7;
                let sharing = if level >= 3 { self.vcpus - 1 } else { 0 };
                let ids = (1u32 << self.core_bits()) - 1;
                let cores = if entry.leaf == 4 { ids.min(63) } else { entry.eax >> 26 };
                entry.eax = entry.eax & 0x3fff | sharing << 14 | cores << 26;
            }
            // AMD: the number of cores and the bits of the APIC id that hold them.
            0x8000_0008 => {
                entry.ecx = entry.ecx & !0xf0ff | self.core_bits() << 12 | (self.vcpus - 1);
            }
            // AMD: APIC id, core id with one thread a core, node.
            0x8000_001e => {
                (entry.eax, entry.ebx, entry.ecx) = (self.vcpu, self.vcpu, 0);
            }
            _ => {}
        }
    }

    fn extended(self, leaf: u32) -> [CpuidEntry; 3] {
        const THREAD: u32 = 1 << 8;
        const CORE: u32 = 2 << 8;
        let level = |subleaf, eax, ebx, kind| CpuidEntry {
            leaf,
            subleaf: Some(subleaf),
            eax,
            ebx,
            ecx: subleaf | kind,
            edx: self.vcpu,
        };
        [level(0, 0, 1, THREAD), level(1, self.core_bits(), self.vcpus, CORE), level(2, 0, 0, 0)]
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
