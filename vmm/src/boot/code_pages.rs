//! The pages of an image that hold code and nothing that the guest is meant to write.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PF_W, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::elf::{Image, executable};
use crate::memory::PAGE_SIZE;
use crate::paging::pages;

/// The guest-physical ranges of the pages with code that share no page with a writable segment, in
/// ascending order.
pub(crate) fn code_pages(image: Image) -> Vec<Range<u64>> {
    let writable = writable(image);
    let free = |page: &u64| !writable.iter().any(|range| range.contains(page));
    let mut found: Vec<u64> = executable(image)
        .iter()
        .flat_map(|range| pages(range).step_by(PAGE_SIZE as usize))
        .filter(free)
        .collect();
    found.sort_unstable();
    found.dedup();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for page in found {
        match ranges.last_mut() {
            Some(last) if last.end == page => last.end += PAGE_SIZE,
            _ => ranges.push(page..page + PAGE_SIZE),
        }
    }
    ranges
}

/// The pages of the writable segments.
fn writable(image: Image) -> Vec<Range<u64>> {
    let headers = FileHeader64::<LE>::parse(image.bytes);
    let headers = headers.and_then(|header| header.program_headers(LE, image.bytes));
    let loaded = headers.unwrap_or_default().iter().filter(|s| s.p_type(LE) == PT_LOAD);
    let written = loaded.filter(|segment| segment.p_flags(LE).0 & PF_W.0 != 0);
    let range = written.map(|segment| {
        let start = segment.p_paddr(LE);
        pages(&(start..start.saturating_add(segment.p_memsz(LE)).min(u64::MAX - PAGE_SIZE)))
    });
    range.collect()
}

#[cfg(test)]
#[path = "code_pages_tests.rs"]
mod tests;
