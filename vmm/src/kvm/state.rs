//! Conversion between KVM's register structures and this crate's.

use kvm_bindings::{
    KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_debugregs, kvm_dtable, kvm_regs,
    kvm_segment, kvm_sregs,
};

use crate::identity::CpuidEntry;
use crate::registers::{DebugRegisters, Registers, Segment, SystemRegisters, Table};

/// Bit 16 of a segment's access rights: the segment is unusable.
const UNUSABLE: u32 = 1 << 16;

/// The linear address of the next instruction (like KVM's `kvm_get_linear_rip`).
pub(super) fn linear_rip(regs: &kvm_regs, sregs: &kvm_sregs) -> u64 {
    let long = sregs.cs.l != 0 && sregs.efer & SystemRegisters::EFER_LMA != 0;
    if long { regs.rip } else { u64::from(sregs.cs.base.wrapping_add(regs.rip) as u32) }
}

pub(super) fn registers_from_kvm(regs: &kvm_regs) -> Registers {
    Registers {
        rax: regs.rax,
        rbx: regs.rbx,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        rsp: regs.rsp,
        rbp: regs.rbp,
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rip: regs.rip,
        rflags: regs.rflags,
    }
}

pub(super) fn registers_to_kvm(regs: &Registers) -> kvm_regs {
    kvm_regs {
        rax: regs.rax,
        rbx: regs.rbx,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        rsp: regs.rsp,
        rbp: regs.rbp,
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rip: regs.rip,
        rflags: regs.rflags,
    }
}

fn segment_from_kvm(segment: &kvm_segment) -> Segment {
    let access = u32::from(segment.type_)
        | u32::from(segment.s) << 4
        | u32::from(segment.dpl) << 5
        | u32::from(segment.present) << 7
        | u32::from(segment.avl) << 12
        | u32::from(segment.l) << 13
        | u32::from(segment.db) << 14
        | u32::from(segment.g) << 15
        | if segment.unusable != 0 { UNUSABLE } else { 0 };
    Segment { base: segment.base, limit: segment.limit, selector: segment.selector, access }
}

fn segment_to_kvm(segment: &Segment) -> kvm_segment {
    let bits = |shift: u32, mask: u32| (segment.access >> shift & mask) as u8;
    kvm_segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        type_: bits(0, 0xf),
        s: bits(4, 1),
        dpl: bits(5, 3),
        present: bits(7, 1),
        avl: bits(12, 1),
        l: bits(13, 1),
        db: bits(14, 1),
        g: bits(15, 1),
        unusable: bits(16, 1),
        padding: 0,
    }
}

fn table_from_kvm(table: &kvm_dtable) -> Table {
    Table { base: table.base, limit: table.limit }
}

fn table_to_kvm(table: &Table) -> kvm_dtable {
    kvm_dtable { base: table.base, limit: table.limit, padding: [0; 3] }
}

pub(super) fn system_registers_from_kvm(sregs: &kvm_sregs) -> SystemRegisters {
    SystemRegisters {
        cs: segment_from_kvm(&sregs.cs),
        ds: segment_from_kvm(&sregs.ds),
        es: segment_from_kvm(&sregs.es),
        fs: segment_from_kvm(&sregs.fs),
        gs: segment_from_kvm(&sregs.gs),
        ss: segment_from_kvm(&sregs.ss),
        tr: segment_from_kvm(&sregs.tr),
        ldt: segment_from_kvm(&sregs.ldt),
        gdt: table_from_kvm(&sregs.gdt),
        idt: table_from_kvm(&sregs.idt),
        cr0: sregs.cr0,
        cr2: sregs.cr2,
        cr3: sregs.cr3,
        cr4: sregs.cr4,
        cr8: sregs.cr8,
        efer: sregs.efer,
        apic_base: sregs.apic_base,
    }
}

/// `pending` provides the field that [`SystemRegisters`] doesn't have: the interrupt bitmap.
pub(super) fn system_registers_to_kvm(ours: &SystemRegisters, pending: &kvm_sregs) -> kvm_sregs {
    kvm_sregs {
        cs: segment_to_kvm(&ours.cs),
        ds: segment_to_kvm(&ours.ds),
        es: segment_to_kvm(&ours.es),
        fs: segment_to_kvm(&ours.fs),
        gs: segment_to_kvm(&ours.gs),
        ss: segment_to_kvm(&ours.ss),
        tr: segment_to_kvm(&ours.tr),
        ldt: segment_to_kvm(&ours.ldt),
        gdt: table_to_kvm(&ours.gdt),
        idt: table_to_kvm(&ours.idt),
        cr0: ours.cr0,
        cr2: ours.cr2,
        cr3: ours.cr3,
        cr4: ours.cr4,
        cr8: ours.cr8,
        efer: ours.efer,
        apic_base: ours.apic_base,
        interrupt_bitmap: pending.interrupt_bitmap,
    }
}

pub(super) fn debug_registers_from_kvm(regs: &kvm_debugregs) -> DebugRegisters {
    DebugRegisters { address: regs.db, dr6: regs.dr6, dr7: regs.dr7 }
}

pub(super) fn cpuid_from_kvm(entry: &kvm_cpuid_entry2) -> CpuidEntry {
    CpuidEntry {
        leaf: entry.function,
        subleaf: (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX != 0).then_some(entry.index),
        eax: entry.eax,
        ebx: entry.ebx,
        ecx: entry.ecx,
        edx: entry.edx,
    }
}

pub(super) fn cpuid_to_kvm(entry: &CpuidEntry) -> kvm_cpuid_entry2 {
    kvm_cpuid_entry2 {
        function: entry.leaf,
        index: entry.subleaf.unwrap_or(0),
        flags: if entry.subleaf.is_some() { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 },
        eax: entry.eax,
        ebx: entry.ebx,
        ecx: entry.ecx,
        edx: entry.edx,
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
