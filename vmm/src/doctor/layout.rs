//! The memory layout of the self-test guests: one RAM image for all of them.
//!
//! | guest-physical = linear | contents |
//! |---|---|
//! | 0x1000-0x5000 | page tables: the first GiB and the LAPIC's, identity, for both rings |
//! | 0x5000, 0x6000, 0x7000 | GDT, IDT, TSS |
//! | 0x10000 | stack, downwards |
//! | 0x10000 | code |
//! | 0x18000 | the standard handlers: each reports its vector at port [`TRAP`] |
//! | 0x20000-0x28000 | a test's own handlers |
//! | 0x30000 | data |
//! | 0x40000 | an application processor's real-mode code |
//! | 0x100000-0x200000 | RAM that tests also map at [`WINDOW`] |
//! | 16 MiB | [`HOLE`]: no memory slot, so each access exits |

use crate::registers::{Segment, SystemRegisters, Table};

/// Port: the guest has reached the end of its test.
pub(super) const DONE: u16 = 0xe0;
/// Port: a standard handler ran; the data is its vector.
pub(super) const TRAP: u16 = 0xe1;
/// Port: an intermediate mark.
pub(super) const MARK: u16 = 0xe2;

/// The start of the code.
pub(super) const CODE: u64 = 0x1_0000;
/// The top of the stack.
pub(super) const STACK: u64 = 0x1_0000;
/// The start of the data.
pub(super) const DATA: u64 = 0x3_0000;
/// Real-mode code; its page number is the SIPI's vector.
pub(super) const AP_CODE: u64 = 0x4_0000;
/// The RAM for additional slots.
pub(super) const SPARE: u64 = 0x10_0000;
/// The size of this RAM in bytes.
pub(super) const SPARE_SIZE: u64 = 0x10_0000;
/// The address at which tests map this RAM by a slot.
pub(super) const WINDOW: u64 = 0x80_0000;
/// An address without a memory slot.
pub(super) const HOLE: u64 = 0x100_0000;
/// An address without a page-table entry.
pub(super) const UNMAPPED: u64 = 0x5000_0000;
/// The local APIC.
pub(super) const LAPIC: u64 = 0xfee0_0000;

const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const LOW_PD: u64 = 0x3000;
const HIGH_PD: u64 = 0x4000;
const GDT: u64 = 0x5000;
const IDT: u64 = 0x6000;
const TSS: u64 = 0x7000;
const HANDLERS: u64 = 0x1_8000;
const OWN_HANDLERS: u64 = 0x2_0000;
const VECTORS: u64 = 256;

const KERNEL_CODE: u16 = 0x08;
const KERNEL_DATA: u16 = 0x10;
const USER_DATA: u16 = 0x18 | 3;
const USER_CODE: u16 = 0x20 | 3;
const TASK: u16 = 0x28;
const TSS_LIMIT: u16 = 0x67;

/// The privilege level at which a test's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    /// Ring 0.
    Kernel,
    /// Ring 3.
    User,
}

/// The contents of RAM at the start of every test.
pub(super) fn image() -> Vec<(u64, Vec<u8>)> {
    vec![
        (PML4, quads([PDPT | 7])),
        (PDPT, quads([LOW_PD | 7, 0, 0, HIGH_PD | 7])),
        (LOW_PD, quads((0..512).map(|page| page << 21 | 0x87))),
        (HIGH_PD, quads((0..512).map(|page| 3 << 30 | page << 21 | 0x87))),
        (GDT, quads(descriptors())),
        (IDT, (0..VECTORS).flat_map(|vector| gate(HANDLERS + 16 * vector)).collect()),
        (TSS + 4, STACK.to_le_bytes().to_vec()), // RSP0
        (TSS + 102, TSS_LIMIT.wrapping_add(1).to_le_bytes().to_vec()), // no I/O bitmap
        (HANDLERS, (0..VECTORS).flat_map(|vector| standard_handler(vector as u8)).collect()),
    ]
}

fn quads(values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    values.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn descriptors() -> [u64; 7] {
    let task = u64::from(TSS_LIMIT) | (TSS & 0xff_ffff) << 16 | 0x8b << 40;
    [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
        task,
        0,
    ]
}

/// An interrupt gate that ring 3 may call, too.
fn gate(handler: u64) -> Vec<u8> {
    let low = handler & 0xffff
        | u64::from(KERNEL_CODE) << 16
        | 0xee << 40
        | (handler >> 16 & 0xffff) << 48;
    quads([low, handler >> 32])
}

/// `mov al, vector; out TRAP, al; hlt; jmp` to the HLT.
fn standard_handler(vector: u8) -> [u8; 16] {
    let mut code = [0x90; 16];
    code[..7].copy_from_slice(&[0xb0, vector, 0xe6, TRAP as u8, 0xf4, 0xeb, 0xfd]);
    code
}

/// Whether code at this address is a standard handler.
pub(super) fn is_handler(address: u64) -> bool {
    (HANDLERS..HANDLERS + 16 * VECTORS).contains(&address)
}

/// The address of a test's own handler of this vector, and the address and contents of its IDT
/// entry.
pub(super) fn own_handler(vector: u8) -> (u64, u64, Vec<u8>) {
    let handler = OWN_HANDLERS + 128 * u64::from(vector);
    (handler, IDT + 16 * u64::from(vector), gate(handler))
}

/// The system registers for 64-bit mode with this image's tables; `reset` provides the others.
pub(super) fn long_mode(
    reset: &SystemRegisters,
    ring: Ring,
    cpuid_has_xsave: bool,
) -> SystemRegisters {
    const CR0_MP_ET_NE: u64 = 1 << 1 | 1 << 4 | 1 << 5;
    const CR4_SSE: u64 = 1 << 9 | 1 << 10;
    const CR4_OSXSAVE: u64 = 1 << 18;
    const EFER_LME: u64 = 1 << 8;
    let segment = |selector, access| Segment { base: 0, limit: u32::MAX, selector, access };
    let (code, data) = match ring {
        Ring::Kernel => (segment(KERNEL_CODE, 0xa09b), segment(KERNEL_DATA, 0xc093)),
        Ring::User => (segment(USER_CODE, 0xa0fb), segment(USER_DATA, 0xc0f3)),
    };
    SystemRegisters {
        cs: code,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: Segment { base: TSS, limit: TSS_LIMIT.into(), selector: TASK, access: 0x8b },
        gdt: Table { base: GDT, limit: 7 * 8 - 1 },
        idt: Table { base: IDT, limit: (VECTORS * 16 - 1) as u16 },
        cr0: SystemRegisters::CR0_PE | SystemRegisters::CR0_PG | CR0_MP_ET_NE,
        cr3: PML4,
        cr4: SystemRegisters::CR4_PAE | CR4_SSE | if cpuid_has_xsave { CR4_OSXSAVE } else { 0 },
        efer: EFER_LME | SystemRegisters::EFER_LMA,
        ..*reset
    }
}
