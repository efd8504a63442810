//! Reads the segments of a guest's image, an ELF file. An image that can't be read has no segments.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

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

fn segments(image: &[u8]) -> impl Iterator<Item = &ProgramHeader64<LE>> {
    let header = FileHeader64::<LE>::parse(image);
    let segments = header.and_then(|header| header.program_headers(LE, image));
    segments.unwrap_or_default().iter().filter(|segment| segment.p_type(LE) == PT_LOAD)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
