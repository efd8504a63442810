//! The CPUID leaves that the guest sees: its hypervisor identity, and the vCPU topology.

mod enlightenment;
mod vmware;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::registers::SystemRegisters;
use enlightenment::{Bare, Enlightenment, Kvm};
use vmware::Vmware;

/// The hypervisor that the guest sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// VMware: its signature, its frequencies and its backdoor port.
    #[default]
    Vmware,
    /// KVM, with its own leaves.
    Kvm,
    /// No hypervisor: the hypervisor bit is clear.
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

    /// By what the guest recognises it.
    pub(crate) fn enlightenment(self) -> &'static dyn Enlightenment {
        match self {
            Self::Vmware => &Vmware,
            Self::Kvm => &Kvm,
            Self::None => &Bare,
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

/// A CPUID leaf or subleaf, and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the registers
pub struct CpuidEntry {
    /// The leaf: EAX of the CPUID instruction.
    pub leaf: u32,
    /// The subleaf: ECX of the CPUID instruction, where it matters.
    pub subleaf: Option<u32>,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// The frequencies that guests read from CPUID and the backdoor, and don't measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// The TSC's frequency in kHz.
    pub tsc_khz: u32,
    /// The frequency of the local APIC timer's bus in kHz; KVM's default is 1 GHz.
    pub bus_khz: u32,
}

/// The first leaf of a hypervisor: its signature.
const SIGNATURE_LEAF: u32 = 0x4000_0000;
/// The range of leaves reserved for hypervisors.
const HYPERVISOR_LEAVES: std::ops::RangeInclusive<u32> = 0x4000_0000..=0x4fff_ffff;
/// Leaf 1, ECX: a hypervisor is present.
const HYPERVISOR_BIT: u32 = 1 << 31;
/// Leaf 1, EDX: EBX holds a count of logical processors.
const HTT_BIT: u32 = 1 << 28;

/// The leaves that vCPU `vcpu` of `vcpus` sees, derived from those that KVM supports.
pub fn cpuid(
    supported: &[CpuidEntry],
    identity: Identity,
    frequencies: Frequencies,
    vcpu: u32,
    vcpus: u32,
) -> Vec<CpuidEntry> {
    let topology = Topology { vcpu, vcpus };
    let hypervisor = identity.enlightenment();
    let mut leaves: Vec<_> = supported
        .iter()
        .copied()
        .filter(|entry| hypervisor.passes_kvm_leaves() || !HYPERVISOR_LEAVES.contains(&entry.leaf))
        .filter(|entry| !Topology::LEAVES.contains(&entry.leaf))
        .collect();
    for entry in &mut leaves {
        if entry.leaf == 1 {
            entry.ecx = entry.ecx & !HYPERVISOR_BIT
                | if hypervisor.is_present() { HYPERVISOR_BIT } else { 0 };
        }
        topology.adapt(entry);
    }
    for leaf in Topology::LEAVES {
        if supported.iter().any(|entry| entry.leaf == leaf) {
            leaves.extend(topology.extended(leaf));
        }
    }
    leaves.extend(hypervisor.leaves(frequencies));
    leaves
}

/// The result of CPUID with these leaves on a processor in this state, as KVM computes it.
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
        // Subleaves beyond the last topology level still return the processor's id.
        if Topology::LEAVES.contains(&leaf) {
            let edx = find(leaf, 1).map_or(0, |level| level.edx);
            return CpuidEntry { ecx: subleaf & 0xff, edx, ..nothing };
        }
        // On Intel processors, a leaf beyond the last one of its range returns the last basic leaf.
        let first = find(0, 0).unwrap_or(nothing);
        let range = find(leaf & 0xf000_0000, 0).or(find(leaf & 0x8000_0000, 0)).unwrap_or(first);
        let is_intel = first.ebx == u32::from_le_bytes(*b"Genu");
        if is_intel && leaf > range.eax {
            find(first.eax, subleaf).unwrap_or(nothing)
        } else {
            nothing
        }
    });
    // Bits that reflect the current settings of the processor.
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

/// The topology: one package, one core for each vCPU, one thread for each core. The APIC id is the
/// vCPU's number.
#[derive(Clone, Copy)]
struct Topology {
    vcpu: u32,
    vcpus: u32,
}

impl Topology {
    /// The extended topology leaves (Intel SDM vol. 2, CPUID, leaves 0BH and 1FH).
    const LEAVES: [u32; 2] = [0xb, 0x1f];

    /// The number of bits of the APIC id that distinguish the cores of the package.
    fn core_bits(self) -> u32 {
        self.vcpus.next_power_of_two().trailing_zeros()
    }

    fn adapt(self, entry: &mut CpuidEntry) {
        match entry.leaf {
            1 => {
                entry.ebx = entry.ebx & 0x0000_ffff | self.vcpus.min(255) << 16 | self.vcpu << 24;
                entry.edx = entry.edx & !HTT_BIT | if self.vcpus > 1 { HTT_BIT } else { 0 };
            }
            // The cache leaves of Intel, and of AMD where it has this leaf: level 3 belongs to the
            // package, the other levels to a core. Intel's leaf also counts the cores.
            4 | 0x8000_001d if entry.eax & 0x1f != 0 => {
                let level = entry.eax >> 5 & 7;
                let sharing = if level >= 3 { self.vcpus - 1 } else { 0 };
                let ids = (1u32 << self.core_bits()) - 1;
                let cores = if entry.leaf == 4 { ids.min(63) } else { entry.eax >> 26 };
                entry.eax = entry.eax & 0x3fff | sharing << 14 | cores << 26;
            }
            // AMD: the number of cores, and the number of bits of the APIC id for them.
            0x8000_0008 => {
                entry.ecx = entry.ecx & !0xf0ff | self.core_bits() << 12 | (self.vcpus - 1);
            }
            // AMD: APIC id, core id with one thread per core, node.
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
