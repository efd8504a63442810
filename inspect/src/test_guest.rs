//! Guests for tests: page tables, a stack, and an ELF file. The tests of `probes` include this
//! file, too.

use std::sync::Arc;

use vmm::memory::{Memory, MemorySize};
use vmm::registers::{Registers, Segment, SystemRegisters};

use super::Symbols;

/// The address at which the guest's kernel is mapped, as in illumos.
pub(crate) const KERNEL: u64 = 0xffff_ffff_fb80_0000;
/// The guest-physical address of its 2 MiB of memory.
const KERNEL_PHYSICAL: u64 = 0x20_0000;
const TABLES: u64 = 0x10_0000;
const PRESENT_WRITE: u64 = 3;
const LARGE: u64 = 1 << 7;

/// System registers for 64-bit code with page tables at `cr3`.
fn long_mode(cr3: u64) -> SystemRegisters {
    SystemRegisters {
        cs: Segment { selector: 0x28, access: 0xa09b, limit: 0xffff_ffff, base: 0 },
        cr0: SystemRegisters::CR0_PG | SystemRegisters::CR0_PE,
        cr3,
        cr4: SystemRegisters::CR4_PAE,
        efer: SystemRegisters::EFER_LMA | 0x100,
        ..SystemRegisters::default()
    }
}

/// A guest whose kernel is mapped by one large page.
pub(crate) fn guest() -> (Memory, SystemRegisters) {
    let memory = Memory::new(MemorySize::new(4 << 20).expect("a size")).expect("memory");
    let index = |shift: u32| (KERNEL >> shift & 0x1ff) * 8;
    put(&memory, TABLES + index(39), &((TABLES + 0x1000) | PRESENT_WRITE).to_le_bytes());
    put(&memory, TABLES + 0x1000 + index(30), &((TABLES + 0x2000) | PRESENT_WRITE).to_le_bytes());
    let page = KERNEL_PHYSICAL | PRESENT_WRITE | LARGE;
    put(&memory, TABLES + 0x2000 + index(21), &page.to_le_bytes());
    (memory, long_mode(TABLES))
}

/// Writes to guest-physical memory.
fn put(memory: &Memory, address: u64, bytes: &[u8]) {
    memory.write(address, bytes).expect("RAM");
}

/// Writes to the guest kernel's memory.
pub(crate) fn put_kernel(memory: &Memory, address: u64, bytes: &[u8]) {
    put(memory, address - KERNEL + KERNEL_PHYSICAL, bytes);
}

/// The address of the stack in [`hung_guest`].
pub(crate) const STACK: u64 = KERNEL + 0x1f_0000;

/// The guest of 2012, which spins in a function that has one caller.
pub(crate) fn hung_guest() -> (Memory, Registers, SystemRegisters) {
    let (memory, system) = guest();
    // pause; jmp .-2
    put_kernel(&memory, 0xffff_ffff_fb85_45c6, &[0xf3, 0x90, 0xeb, 0xfc]);
    put_kernel(&memory, STACK, &0_u64.to_le_bytes());
    put_kernel(&memory, STACK + 8, &0xffff_ffff_fb85_4a79_u64.to_le_bytes());
    let registers = Registers {
        rip: 0xffff_ffff_fb85_45c6,
        rsp: STACK - 0x20,
        rbp: STACK,
        ..Registers::default()
    };
    (memory, registers, system)
}

/// An ELF file in the range of illumos' kernel; its source is beside it.
pub(crate) const TSC_SYNC: &[u8] = include_bytes!("../testdata/tsc_sync.elf");

/// The symbols of [`TSC_SYNC`].
pub(crate) fn tsc_sync_symbols() -> Arc<Symbols> {
    Arc::new(Symbols::from_elf("tsc_sync.elf", TSC_SYNC).expect("an ELF file"))
}

/// A guest with [`TSC_SYNC`] in its memory.
pub(crate) fn tsc_sync_guest() -> (Memory, SystemRegisters) {
    use object::{Object, ObjectSection};
    let (memory, system) = guest();
    let file = object::File::parse(TSC_SYNC).expect("an ELF file");
    for name in [".text", ".data"] {
        let section = file.section_by_name(name).expect("a section");
        put_kernel(&memory, section.address(), section.data().expect("its bytes"));
    }
    (memory, system)
}
