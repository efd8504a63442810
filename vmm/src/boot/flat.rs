//! Flat segments, with which every protocol enters the kernel.

use super::layout;
use crate::registers::{Segment, SystemRegisters, Table};

/// The system registers after reset, with flat segments: code at this index of a GDT that fills
/// `gdt_size` bytes, and data at the next. The IDT is empty.
pub(super) fn segments(
    reset: &SystemRegisters,
    code: u16,
    access: u32,
    gdt_size: usize,
) -> SystemRegisters {
    let flat =
        |index: u16, access| Segment { base: 0, limit: 0xffff_ffff, selector: index * 8, access };
    let data = flat(code + 1, 0xc093);
    SystemRegisters {
        cs: flat(code, access),
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        gdt: Table { base: layout::GDT, limit: (gdt_size - 1) as u16 },
        idt: Table::default(),
        ..*reset
    }
}
