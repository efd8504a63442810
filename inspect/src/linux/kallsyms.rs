//! The symbol table that a Linux kernel carries for its own messages (`CONFIG_KALLSYMS`).
//!
//! It consists of several tables in the kernel's read-only data, written by `scripts/kallsyms.c`
//! and read by `kernel/kallsyms.c`. Nothing points to them, so they are recognised by their form
//! ([`layout`]), and believed only if everything in them agrees: the names with the marks that lead
//! to every 256th of them, the addresses with their order, and the whole with the address of the
//! kernel's own page-fault handler. A table that does not agree is not used in part.

mod layout;
mod names;

use std::ops::ControlFlow;

use vmm::paging::{PAGE_SIZE, PhysicalMemory};

use super::view::{Region, View};
use layout::Layout;
use names::Names;

/// The most symbols that are read. Distributions' kernels have 90,000 to 250,000.
const MAX_SYMBOLS: u32 = 1 << 20;
/// How many bytes before the tokens the other tables can begin, and how many behind they can end.
const BEFORE: u64 = 16 << 20;
const BEHIND: u64 = 8 << 20;
/// How far behind the start of the text the tables are sought, in bytes.
const SEARCHED: u64 = 96 << 20;
/// The end of the addresses where the image can be (`KERNEL_IMAGE_SIZE` of 1 GiB above
/// `__START_KERNEL_map`, `arch/x86/include/asm/page_64_types.h`).
pub(super) const IMAGE_END: u64 = 0xffff_ffff_c000_0000;
/// The most places that look like a table of tokens and are examined.
const MAX_CANDIDATES: usize = 256;
/// Every digit is used in some name, and is then a token of its own: the digits' tokens are
/// consecutive, each with its terminating NUL.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelSymbol {
    pub(super) address: u64,
    /// The type as `nm` writes it.
    pub(super) kind: u8,
    pub(super) name: Box<str>,
}

/// All symbols of a kernel, by ascending address.
#[derive(Debug)]
pub(super) struct Kallsyms(Vec<KernelSymbol>);

impl Kallsyms {
    /// Finds the tables of the kernel whose page-fault handler is at `handler`.
    pub(super) fn find<M: PhysicalMemory + ?Sized>(
        view: &View<'_, M>,
        handler: u64,
    ) -> Option<Self> {
        let range = handler..handler.saturating_add(SEARCHED).min(IMAGE_END);
        let mut left = MAX_CANDIDATES;
        let tried = view.search(range, DIGITS, |digits| {
            // Most places with digits are none of tokens, which a look at few pages tells.
            let near = view.around(digits, 2 * PAGE_SIZE, 4 * PAGE_SIZE);
            if layout::tokens(&near, digits).is_some() {
                let region = view.around(digits, BEFORE, BEHIND);
                if let Some(symbols) = Self::read(&region, digits, handler) {
                    return ControlFlow::Break(Some(symbols));
                }
            }
            left -= 1;
            if left == 0 { ControlFlow::Break(None) } else { ControlFlow::Continue(()) }
        });
        tried.flatten()
    }

    /// Reads the tables whose tokens of the digits are at `digits`.
    fn read(region: &Region, digits: u64, handler: u64) -> Option<Self> {
        let tokens = layout::tokens(region, digits)?;
        Layout::all(region, &tokens).find_map(|layout| {
            let names = Names::read(region, &tokens, &layout)?;
            layout.addresses(region).find_map(|addresses| Self::of(addresses, &names, handler))
        })
    }

    /// Joins addresses and names, if they are those of the kernel with this page-fault handler.
    fn of(addresses: Vec<u64>, names: &Names, handler: u64) -> Option<Self> {
        if addresses.len() != names.len() || !addresses.is_sorted() {
            return None;
        }
        let at_handler = addresses.partition_point(|&address| address < handler);
        let is_handler = |index: &usize| {
            addresses.get(*index) == Some(&handler)
                && names.get(*index).is_some_and(|(_, name)| name.contains("page_fault"))
        };
        (at_handler..addresses.len().min(at_handler + 16)).find(is_handler)?;
        let symbol = |(index, address): (usize, u64)| {
            let (kind, name) = names.get(index)?;
            Some(KernelSymbol { address, kind, name: name.into() })
        };
        let symbols: Option<Vec<_>> = addresses.into_iter().enumerate().map(symbol).collect();
        let symbols = Self(symbols?);
        let (start, end) = (symbols.address("_stext")?, symbols.address("_etext")?);
        (start..end).contains(&handler).then_some(symbols)
    }

    /// The address of the first symbol with this name.
    pub(super) fn address(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|symbol| &*symbol.name == name).map(|symbol| symbol.address)
    }

    /// The symbols, by ascending address. Several can have the same address; the kernel prints the
    /// first of them.
    pub(super) fn all(&self) -> &[KernelSymbol] {
        &self.0
    }
}

#[cfg(test)]
#[path = "kallsyms_tests.rs"]
mod tests;
