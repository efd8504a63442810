use super::*;

#[test]
fn a_segment_survives_the_round_trip() {
    for access in [0xa09b, 0xc093, 0x8b, 0x1_0000, 0xf3, 0x1_ffff & !0x0f00] {
        let segment = Segment { base: 0x1000, limit: 0xf_ffff, selector: 0x10, access };
        assert_eq!(segment_from_kvm(&segment_to_kvm(&segment)), segment, "{access:#x}");
    }
}

#[test]
fn system_registers_survive_the_round_trip() {
    let ours = SystemRegisters {
        cs: Segment { base: 0, limit: 0xffff_ffff, selector: 8, access: 0xa09b },
        gdt: Table { base: 0x500, limit: 0x1f },
        cr0: 0x8000_0011,
        cr3: 0x9000,
        efer: 0x500,
        apic_base: 0xfee0_0900,
        ..Default::default()
    };
    let kvm = system_registers_to_kvm(
        &ours,
        &kvm_sregs { interrupt_bitmap: [1, 2, 3, 4], ..Default::default() },
    );
    assert_eq!(kvm.interrupt_bitmap, [1, 2, 3, 4]);
    assert_eq!(system_registers_from_kvm(&kvm), ours);
}

#[test]
fn general_registers_survive_the_round_trip() {
    let ours =
        Registers { rax: 1, rbx: 2, rsp: 3, r15: 4, rip: 5, rflags: 2, ..Default::default() };
    assert_eq!(registers_from_kvm(&registers_to_kvm(&ours)), ours);
}

#[test]
fn cpuid_keeps_the_difference_between_no_subleaf_and_subleaf_0() {
    for subleaf in [None, Some(0), Some(3)] {
        let entry = CpuidEntry { leaf: 0xb, subleaf, eax: 1, ebx: 2, ecx: 3, edx: 4 };
        assert_eq!(cpuid_from_kvm(&cpuid_to_kvm(&entry)), entry);
    }
}
