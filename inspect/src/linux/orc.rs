//! Unwinding by ORC, the tables that kernels are built with instead of frame pointers.
//!
//! For ranges of instructions, `.orc_unwind_ip` has the start (sorted; 4 bytes, relative to their
//! own place), and `.orc_unwind` says where the caller's stack pointer is, where its RBP, and what
//! is on the stack: a return address, or the registers of what was interrupted
//! (`arch/x86/include/asm/orc_types.h`, `arch/x86/kernel/unwind_orc.c`). The tables are read from
//! the guest's memory when a stack is unwound.

mod entry;
mod walk;

use vmm::paging::PhysicalMemory;
use vmm::registers::Registers;

use super::kallsyms::Kallsyms;
use super::view::View;
use crate::unwind::CallFrame;
use entry::{Entry, Format};

/// The most entries. Distributions' kernels have 400,000 to 800,000.
const MAX_ENTRIES: u64 = 8 << 20;

/// The places of the tables of a kernel or of a module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orc {
    starts: u64,
    entries: u64,
    count: u64,
    format: Format,
}

impl Orc {
    /// Finds the tables, or says what is wrong with them.
    pub(super) fn find<M: PhysicalMemory + ?Sized>(
        view: &View<'_, M>,
        table: &Kallsyms,
    ) -> Result<Self, &'static str> {
        const NONE: &str = "this kernel has no ORC tables, or does not name them";
        let range = |start, end| Some((table.address(start)?, table.address(end)?));
        let starts = range("__start_orc_unwind_ip", "__stop_orc_unwind_ip").ok_or(NONE)?;
        let entries = range("__start_orc_unwind", "__stop_orc_unwind").ok_or(NONE)?;
        let count = starts.1.saturating_sub(starts.0) / 4;
        if count == 0 || count > MAX_ENTRIES || entries.1.saturating_sub(entries.0) != 6 * count {
            return Err("its ORC tables have different lengths");
        }
        let header = range("__start_orc_header", "__stop_orc_header");
        let banner = table.address("linux_banner").and_then(|at| view.bytes(at, 64));
        let format = Format::of(view, header, &banner.unwrap_or_default())?;
        let all = view.bytes(entries.0, 6 * count as usize);
        let all = all.ok_or("its ORC tables are not mapped")?;
        let (all, _) = all.as_chunks();
        if !all.iter().all(|entry| format.is_valid(*entry)) {
            return Err("its ORC tables have another format than its version has");
        }
        Ok(Self { starts: starts.0, entries: entries.0, count, format })
    }

    /// Other tables of the same format: those of a module.
    pub(super) fn like(&self, starts: u64, entries: u64, count: u32) -> Option<Self> {
        let count = u64::from(count);
        let is_possible = (1..=MAX_ENTRIES).contains(&count);
        is_possible.then_some(Self { starts, entries, count, format: self.format })
    }

    /// The entry for the instruction at `address`.
    fn entry<M: PhysicalMemory + ?Sized>(&self, view: &View<'_, M>, address: u64) -> Option<Entry> {
        let start = |index: u64| {
            let at = self.starts.wrapping_add(4 * index);
            Some(at.wrapping_add(i64::from(view.half(at)? as i32) as u64))
        };
        // The last entry that begins at or before the address.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if start(middle)? <= address { low = middle + 1 } else { high = middle }
        }
        let mut bytes = [0; 6];
        view.read(self.entries.wrapping_add(6 * low.checked_sub(1)?), &mut bytes).then_some(())?;
        self.format.entry(bytes)
    }

    /// The frames of a vCPU in kernel mode. `tables` finds those for an address.
    pub(super) fn unwind<M: PhysicalMemory + ?Sized>(
        view: &View<'_, M>,
        registers: &Registers,
        tables: impl Fn(u64) -> Option<Self>,
    ) -> Vec<CallFrame> {
        walk::frames(view, registers, |address| tables(address)?.entry(view, address))
    }
}

#[cfg(test)]
mod tests;
