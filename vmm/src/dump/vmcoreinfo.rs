//! What a Linux kernel tells dump readers about itself: its version, the addresses of a few symbols
//! and the offsets of structures, as lines of text.
//!
//! The kernel keeps the text in an ELF note at the start of a page of its own, from early in its
//! boot on (`vmcoreinfo_note` in `kernel/crash_core.c`, `Documentation/admin-guide/kdump`). The
//! page is found by its content. drgn and crash need the note in the dump to recognise a kernel.

use crate::memory::{Memory, PAGE_SIZE};

/// The note's name.
pub(super) const NAME: &[u8] = b"VMCOREINFO\0";
/// The note's header, its name filled up to a multiple of 4 bytes, and the first words of the text.
const START: &[u8] = b"VMCOREINFO\0\0OSRELEASE=";
/// The header: the sizes of name and text, and the type, which is 0.
const HEADER: usize = 12;
/// The most bytes of text: `VMCOREINFO_BYTES`, which is a page.
const MAX_TEXT: usize = PAGE_SIZE as usize;

/// The text of the guest's note, if there is one.
pub(super) fn find(memory: &Memory) -> Option<Vec<u8>> {
    let pages = memory.regions().flat_map(|region| {
        (0..region.size).step_by(PAGE_SIZE as usize).map(move |at| region.start + at)
    });
    pages.into_iter().find_map(|page| at(page, memory))
}

/// The text of the note at this address.
fn at(address: u64, memory: &Memory) -> Option<Vec<u8>> {
    let mut start = [0; HEADER + START.len()];
    memory.read(address, &mut start).ok()?;
    let (header, name) = start.split_at(HEADER);
    if name != START {
        return None;
    }
    let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let (name_size, size, kind) = (word(0)?, word(4)? as usize, word(8)?);
    if name_size as usize != NAME.len() || kind != 0 || size > MAX_TEXT {
        return None;
    }
    let mut text = vec![0; size];
    let before = HEADER + NAME.len().next_multiple_of(4);
    memory.read(address + before as u64, &mut text).ok()?;
    is_vmcoreinfo(&text).then_some(text)
}

/// Whether this is such a text: lines with a name and a value, one of which is the size of pages.
fn is_vmcoreinfo(text: &[u8]) -> bool {
    let Some(lines) = std::str::from_utf8(text).ok().and_then(|text| text.strip_suffix('\n'))
    else {
        return false;
    };
    lines.split('\n').all(|line| line.split_once('=').is_some_and(|(name, _)| !name.is_empty()))
        && lines.split('\n').any(|line| line == "PAGESIZE=4096")
}

#[cfg(test)]
#[path = "vmcoreinfo_tests.rs"]
mod tests;
