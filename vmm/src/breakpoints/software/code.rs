//! Which instructions of an image an INT3 can replace.
//!
//! The instruction is single-stepped later, so it has to be one whose step shows the guest nothing
//! and can't lead elsewhere: it uses general registers and the stack only (`simple.rs`).
//!
//! An INT3 in the middle of an instruction would change what the guest does, and one in data, too.
//! So an address has to be one at which an instruction begins when its function is decoded from the
//! function's symbol on, on a page that holds code and nothing that the guest is meant to write.
//! Such pages are read-only for the guest while breakpoints are used: its stores there exit, and
//! are performed here on the bytes without INT3. What is an instruction is found out anew then.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::simple::is_simple;
use crate::boot::code_pages;
use crate::boot::elf::{Image, code_stretches};
use crate::boot::segments::Segments;
use crate::config::MachineConfig;
use crate::exit::Exit;
use crate::instruction;
use crate::memory::Memory;

/// The lowest linear address that only 64-bit code is executed at.
const ONLY_64_BIT: u64 = 1 << 32;

/// The code of a machine's image.
#[derive(Debug, Default)]
pub(crate) struct Code {
    segments: Segments,
    /// The parts of the code that begin with an instruction, in ascending order.
    stretches: Vec<Range<u64>>,
    pages: Vec<Range<u64>>,
    /// The number of the guest's stores to these pages.
    stores: AtomicU64,
}

impl Code {
    /// The code of a machine's image.
    pub(crate) fn of(config: &MachineConfig) -> Self {
        let image = Image::of(config);
        let mut stretches = code_stretches(image);
        stretches.sort_unstable_by_key(|stretch| stretch.start);
        Self {
            segments: Segments::of(&config.guest),
            stretches,
            pages: code_pages(image),
            stores: AtomicU64::new(0),
        }
    }

    /// Code of instructions of one byte each, at the same linear and physical addresses.
    #[cfg(test)]
    pub(super) fn of_bytes(range: Range<u64>) -> Self {
        Self {
            segments: Segments::identity(range.clone()),
            stretches: range.clone().map(|at| at..at + 1).collect(),
            pages: vec![crate::paging::pages(&range)],
            stores: AtomicU64::new(0),
        }
    }

    /// The pages that have to be read-only for the guest.
    pub(crate) fn pages(&self) -> &[Range<u64>] {
        &self.pages
    }

    /// The number of the guest's stores to its code.
    pub(super) fn stores(&self) -> u64 {
        self.stores.load(Ordering::Acquire)
    }

    /// The guest-physical address and bytes of a store to the code; `None` for any other exit.
    pub(super) fn store_of<'e>(&self, exit: &'e Exit) -> Option<(u64, &'e [u8])> {
        match exit {
            Exit::MmioWrite { address, data } if self.has(*address) => Some((*address, data)),
            _ => None,
        }
    }

    /// Called when the guest has changed its code.
    pub(super) fn changed(&self) {
        self.stores.fetch_add(1, Ordering::AcqRel);
    }

    /// The guest-physical address of the instruction at a linear address. `None` if an INT3 can't
    /// replace it.
    pub(super) fn instruction(&self, linear: u64, memory: &Memory) -> Option<u64> {
        let at = self.segments.physical(linear, 1)?.start;
        let next = self.stretches.partition_point(|stretch| stretch.start <= at);
        let stretch = self.stretches[..next].last().filter(|stretch| stretch.contains(&at))?;
        let begins =
            stretch.start == at || linear >= ONLY_64_BIT && decodes_to(stretch, at, memory);
        (self.has(at) && begins && is_simple_at(stretch, at, memory)).then_some(at)
    }

    fn has(&self, address: u64) -> bool {
        self.pages.iter().any(|range| range.contains(&address))
    }
}

/// Whether an instruction begins at `at` when this code is decoded from its start.
fn decodes_to(stretch: &Range<u64>, at: u64, memory: &Memory) -> bool {
    let end = stretch.end.min(at + instruction::MAX_INSTRUCTION as u64);
    let mut code = vec![0; (end - stretch.start) as usize];
    memory.as_loaded().read(stretch.start, &mut code).is_ok()
        && instruction::decode_all(&code, stretch.start, 64)
            .map(|decoded| decoded.ip())
            .take_while(|ip| *ip <= at)
            .last()
            == Some(at)
}

fn is_simple_at(stretch: &Range<u64>, at: u64, memory: &Memory) -> bool {
    let end = stretch.end.min(at + instruction::MAX_INSTRUCTION as u64);
    let mut code = vec![0; (end - at) as usize];
    memory.as_loaded().read(at, &mut code).is_ok()
        && instruction::decode_all(&code, at, 64).next().is_some_and(|decoded| is_simple(&decoded))
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
