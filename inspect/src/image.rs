//! Reads the segments of a guest's image, an ELF file, and finds addresses by them. An image that
//! can't be read has no segments.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use vmm::paging::{self, PhysicalMemory};
use vmm::registers::SystemRegisters;

/// The linear address at which memory was linked that is loaded at a guest-physical address.
pub fn linear(image: &[u8], physical: u64) -> Option<u64> {
    segments(image).find_map(|segment| {
        let offset = physical.checked_sub(segment.p_paddr(LE))?;
        (offset < segment.p_memsz(LE)).then(|| segment.p_vaddr(LE).wrapping_add(offset))
    })
}

/// The guest-physical address at which memory is loaded that was linked at a linear address.
pub fn physical(image: &[u8], linear: u64) -> Option<u64> {
    segments(image).find_map(|segment| {
        let offset = linear.checked_sub(segment.p_vaddr(LE))?;
        (offset < segment.p_memsz(LE)).then(|| segment.p_paddr(LE).wrapping_add(offset))
    })
}

/// The bytes of an image at a linear address: at most `length`, and none after the end of the
/// segment. `None` if the file has no byte there.
pub fn bytes(image: &[u8], address: u64, length: u64) -> Option<&[u8]> {
    segments(image).find_map(|segment| {
        let offset = address.checked_sub(segment.p_vaddr(LE))?;
        let left = segment.p_filesz(LE).checked_sub(offset).filter(|left| *left > 0)?;
        let start = usize::try_from(segment.p_offset(LE).checked_add(offset)?).ok()?;
        image.get(start..start.checked_add(length.min(left) as usize)?)
    })
}

/// The guest-physical address of a linear one: by the page tables, else by the image's segments.
/// Guests begin without their own page tables.
pub fn locate<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    memory: &M,
    image: &[u8],
    linear: u64,
) -> Option<u64> {
    paging::translate(system, memory, linear).ok().or_else(|| physical(image, linear))
}

/// Divides a range of linear addresses at the ends of pages, and calls `part` with the
/// guest-physical address and the place in the range of each part, until one is not mapped (see
/// [`locate`]) or `part` fails. Returns the number of bytes before that.
pub fn for_each_part<M: PhysicalMemory + ?Sized>(
    system: &SystemRegisters,
    memory: &M,
    image: &[u8],
    (linear, length): (u64, usize),
    mut part: impl FnMut(u64, Range<usize>) -> bool,
) -> usize {
    let mut done = 0;
    while done < length {
        let Some(at) = linear.checked_add(done as u64) else { break };
        let in_page = (paging::PAGE_SIZE - at % paging::PAGE_SIZE) as usize;
        let end = length.min(done + in_page);
        let physical = locate(system, memory, image, at);
        if !physical.is_some_and(|physical| part(physical, done..end)) {
            break;
        }
        done = end;
    }
    done
}

fn segments(image: &[u8]) -> impl Iterator<Item = &ProgramHeader64<LE>> {
    let header = FileHeader64::<LE>::parse(image);
    let segments = header.and_then(|header| header.program_headers(LE, image));
    segments.unwrap_or_default().iter().filter(|segment| segment.p_type(LE) == PT_LOAD)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
