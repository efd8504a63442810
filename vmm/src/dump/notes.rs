//! The ELF notes with the vCPUs' registers.

use crate::registers::{Registers, Segment, SystemRegisters, Table};

/// The notes of all vCPUs: the general-purpose registers first, in the order that crash expects.
pub(super) fn all(vcpus: &[(Registers, SystemRegisters)]) -> Vec<u8> {
    const NT_PRSTATUS: u32 = 1;
    let mut notes = Vec::new();
    for (number, (registers, system)) in (1..).zip(vcpus) {
        note(&mut notes, b"CORE\0", NT_PRSTATUS, &status(number, registers, system));
    }
    for (registers, system) in vcpus {
        note(&mut notes, b"QEMU\0", 0, &cpu_state(registers, system));
    }
    notes
}

/// Adds a note.
pub(super) fn note(notes: &mut Vec<u8>, name: &[u8], kind: u32, content: &[u8]) {
    for word in [name.len() as u32, content.len() as u32, kind] {
        notes.extend(word.to_le_bytes());
    }
    for part in [name, content] {
        notes.extend(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// `struct elf_prstatus` of x86-64 Linux (`linux/elfcore.h`, `asm/elf.h`): 336 bytes; the thread's
/// number is at offset 32, and the registers begin at 112, in the order of `user_regs_struct`.
fn status(number: u32, r: &Registers, system: &SystemRegisters) -> Vec<u8> {
    let selector = |segment: &Segment| u64::from(segment.selector);
    let orig_rax = u64::MAX;
    let registers = [
        r.r15,
        r.r14,
        r.r13,
        r.r12,
        r.rbp,
        r.rbx,
        r.r11,
        r.r10,
        r.r9,
        r.r8,
        r.rax,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        orig_rax,
        r.rip,
        selector(&system.cs),
        r.rflags,
        r.rsp,
        selector(&system.ss),
        system.fs.base,
        system.gs.base,
        selector(&system.ds),
        selector(&system.es),
        selector(&system.fs),
        selector(&system.gs),
    ];
    let mut status = vec![0; 32];
    status.extend(number.to_le_bytes());
    status.resize(112, 0);
    status.extend(registers.iter().flat_map(|register| register.to_le_bytes()));
    status.resize(336, 0);
    status
}

/// `QEMUCPUState`, version 1 (QEMU's `target/i386/arch_dump.c`).
fn cpu_state(r: &Registers, system: &SystemRegisters) -> Vec<u8> {
    const VERSION: u32 = 1;
    const SIZE: u32 = 440;
    let mut state = Vec::with_capacity(SIZE as usize);
    state.extend(VERSION.to_le_bytes());
    state.extend(SIZE.to_le_bytes());
    let general = [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12,
        r.r13, r.r14, r.r15, r.rip, r.rflags,
    ];
    state.extend(general.iter().flat_map(|register| register.to_le_bytes()));
    let s = system;
    for segment in [&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.ldt, &s.tr] {
        // The segment's flags are the upper half of a descriptor, in which access rights begin at
        // bit 8.
        put(&mut state, segment.selector, segment.limit, segment.access << 8, segment.base);
    }
    for Table { base, limit } in [s.gdt, s.idt] {
        put(&mut state, 0, limit.into(), 0, base);
    }
    // CR1 doesn't exist. The kernel's GS base is an MSR, which is not available here.
    for register in [s.cr0, 0, s.cr2, s.cr3, s.cr4, 0] {
        state.extend(register.to_le_bytes());
    }
    state
}

fn put(state: &mut Vec<u8>, selector: u16, limit: u32, flags: u32, base: u64) {
    for word in [selector.into(), limit, flags, 0] {
        state.extend(word.to_le_bytes());
    }
    state.extend(base.to_le_bytes());
}
