use super::*;

const FREQUENCIES: Frequencies = Frequencies { tsc_khz: 2_600_000, bus_khz: 1_000_000 };

fn entry(leaf: u32, subleaf: Option<u32>) -> CpuidEntry {
    CpuidEntry { leaf, subleaf, eax: 0, ebx: 0, ecx: 0, edx: 0 }
}

/// Leaves that KVM might support: only those that matter here.
fn supported() -> Vec<CpuidEntry> {
    vec![
        CpuidEntry { ebx: 0x1234_5678, ecx: 1, ..entry(1, None) },
        CpuidEntry { eax: 0x121, ..entry(4, Some(0)) },
        CpuidEntry { eax: 0x163, ..entry(4, Some(3)) },
        CpuidEntry { eax: 99, ..entry(0xb, Some(0)) },
        CpuidEntry { ebx: 0x4b4d_564b, ..entry(0x4000_0000, None) },
        CpuidEntry { eax: 0x0100_7afb, ..entry(0x4000_0001, None) },
        CpuidEntry { eax: 0x3028, ecx: 0x3007, ..entry(0x8000_0008, None) },
    ]
}

fn find(leaves: &[CpuidEntry], leaf: u32, subleaf: Option<u32>) -> Option<CpuidEntry> {
    let mut found = leaves.iter().filter(|e| e.leaf == leaf && e.subleaf == subleaf);
    let first = found.next().copied();
    assert!(found.next().is_none(), "leaf {leaf:#x} twice");
    first
}

#[test]
fn vmware_signs_and_gives_the_frequencies() {
    let leaves = cpuid(&supported(), Identity::Vmware, FREQUENCIES, 0, 1);
    let signature = find(&leaves, 0x4000_0000, None).unwrap();
    let text: Vec<u8> = [signature.ebx, signature.ecx, signature.edx]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    assert_eq!(text, b"VMwareVMware");
    assert_eq!(signature.eax, 0x4000_0010);
    let frequency = find(&leaves, 0x4000_0010, None).unwrap();
    assert_eq!((frequency.eax, frequency.ebx, frequency.ecx), (2_600_000, 1_000_000, 0));
    assert_ne!(find(&leaves, 1, None).unwrap().ecx & HYPERVISOR_BIT, 0);
    assert!(find(&leaves, 0x4000_0001, None).is_none(), "KVM's own leaves are gone");
}

#[test]
fn kvm_stays_as_it_is() {
    let leaves = cpuid(&supported(), Identity::Kvm, FREQUENCIES, 0, 1);
    assert_eq!(find(&leaves, 0x4000_0000, None).unwrap().ebx, 0x4b4d_564b);
    assert!(find(&leaves, 0x4000_0001, None).is_some());
    assert!(find(&leaves, 0x4000_0010, None).is_none());
}

#[test]
fn none_is_no_hypervisor_at_all() {
    let leaves = cpuid(&supported(), Identity::None, FREQUENCIES, 0, 1);
    assert_eq!(find(&leaves, 1, None).unwrap().ecx & HYPERVISOR_BIT, 0);
    assert!(leaves.iter().all(|e| !HYPERVISOR_LEAVES.contains(&e.leaf)));
}

#[test]
fn every_vcpu_has_its_own_apic_id() {
    for vcpu in 0..6 {
        let leaves = cpuid(&supported(), Identity::Vmware, FREQUENCIES, vcpu, 6);
        let one = find(&leaves, 1, None).unwrap();
        assert_eq!((one.ebx >> 24, one.ebx >> 16 & 0xff), (vcpu, 6));
        assert_eq!(one.ebx & 0xffff, 0x5678, "brand index and CLFLUSH size stay");
        assert_ne!(one.edx & HTT_BIT, 0);
        for subleaf in 0..3 {
            assert_eq!(find(&leaves, 0xb, Some(subleaf)).unwrap().edx, vcpu);
        }
        let cores = find(&leaves, 0xb, Some(1)).unwrap();
        assert_eq!((cores.eax, cores.ebx, cores.ecx), (3, 6, 0x201));
        assert!(find(&leaves, 0x1f, Some(0)).is_none(), "not where the host has none");
        assert_eq!(find(&leaves, 0x8000_0008, None).unwrap().ecx, 3 << 12 | 5);
    }
}

#[test]
fn caches_are_shared_as_the_topology_says() {
    let leaves = cpuid(&supported(), Identity::Vmware, FREQUENCIES, 0, 64);
    let l1 = find(&leaves, 4, Some(0)).unwrap();
    let l3 = find(&leaves, 4, Some(3)).unwrap();
    assert_eq!((l1.eax >> 14 & 0xfff, l1.eax >> 26), (0, 63));
    assert_eq!((l3.eax >> 14 & 0xfff, l3.eax >> 26), (63, 63));
}

#[test]
fn a_single_vcpu_has_no_siblings() {
    let leaves = cpuid(&supported(), Identity::Vmware, FREQUENCIES, 0, 1);
    assert_eq!(find(&leaves, 1, None).unwrap().edx & HTT_BIT, 0);
    assert_eq!(find(&leaves, 0xb, Some(1)).unwrap().eax, 0);
}

#[test]
fn names_are_read_back() {
    for identity in [Identity::Vmware, Identity::Kvm, Identity::None] {
        assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
    }
    assert!("xen".parse::<Identity>().unwrap_err().to_string().contains("vmware, kvm or none"));
}

#[test]
fn leaves_are_answered_as_by_kvm() {
    let entry = |leaf, subleaf, eax, edx| CpuidEntry { leaf, subleaf, eax, ebx: 0, ecx: 0, edx };
    let intel = CpuidEntry { ebx: u32::from_le_bytes(*b"Genu"), ..entry(0, None, 0xb, 0) };
    let leaves = [
        intel,
        entry(1, None, 1, 1 << 9),
        entry(0xb, Some(0), 0, 5),
        entry(0xb, Some(1), 3, 5),
        entry(0x8000_0000, None, 0x8000_0001, 0),
        entry(0x8000_0001, None, 9, 0),
    ];
    let mut system = SystemRegisters { cr4: SystemRegisters::CR4_OSXSAVE, ..Default::default() };
    let at = |leaf, subleaf, system: &_| answer(&leaves, leaf, subleaf, system);
    assert_eq!((at(1, 7, &system).ecx, at(1, 7, &system).edx), (1 << 27, 0));
    system = SystemRegisters { apic_base: SystemRegisters::APIC_ENABLED, ..Default::default() };
    assert_eq!((at(1, 0, &system).ecx, at(1, 0, &system).edx), (0, 1 << 9));
    assert_eq!(at(0xb, 1, &system).eax, 3);
    assert_eq!((at(0xb, 9, &system).ecx, at(0xb, 9, &system).edx), (9, 5));
    assert_eq!(at(0x8000_0001, 0, &system).eax, 9);
    // Beyond the end of a range: the last basic leaf. A gap within a range is all zeroes.
    for beyond in [0xc, 0x4000_0000, 0x8000_0002] {
        assert_eq!(at(beyond, 1, &system).eax, 3, "{beyond:#x}");
    }
    assert_eq!(at(5, 0, &system).eax, 0);
    let others = [CpuidEntry { ebx: 0, ..intel }, leaves[1]];
    assert_eq!(answer(&others, 0xc, 0, &system).eax, 0);
}
