//! The PVH entry point in an image's notes (Xen's `elfnote.h`).
//!
//! A note is a header, a name and a descriptor, the last two padded. ELF64 says to 8 bytes, most
//! toolchains pad to 4, and the alignment of the segment is meant to say which. Linkers also give such
//! a segment the alignment of a page, or that of another note's section. So its alignment counts if it
//! is 8, 4 is taken for any other, and where 8 finds nothing, 4 is tried as well.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, NoteType, PT_NOTE, ProgramHeader64};
use object::read::elf::{NoteIterator, ProgramHeader as _};

/// The note that holds the PVH entry point.
pub(super) const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// The entry point, a guest-physical address: that of the first PVH note in any `PT_NOTE` segment.
/// Segments that can't be read don't matter if another has it.
pub(super) fn pvh_entry(segments: &[ProgramHeader64<LE>], bytes: &[u8]) -> Option<u64> {
    let mut notes = segments.iter().filter(|segment| segment.p_type(LE) == PT_NOTE);
    notes.find_map(|segment| entry_in(segment, bytes))
}

fn entry_in(segment: &ProgramHeader64<LE>, bytes: &[u8]) -> Option<u64> {
    let data = segment.data(LE, bytes).ok()?;
    let alignments: &[u64] = if segment.p_align(LE) == 8 { &[8, 4] } else { &[4] };
    alignments.iter().find_map(|alignment| entry_aligned(data, *alignment))
}

fn entry_aligned(data: &[u8], alignment: u64) -> Option<u64> {
    let notes = NoteIterator::<FileHeader64<LE>>::new(LE, alignment, data).ok()?;
    // The iterator ends after the first note that it can't read.
    notes
        .filter_map(Result::ok)
        .filter(|note| note.name() == b"Xen" && note.n_type(LE) == XEN_ELFNOTE_PHYS32_ENTRY)
        .find_map(|note| match note.desc().len() {
            4 => note.desc().try_into().ok().map(|entry| u32::from_le_bytes(entry).into()),
            8 => note.desc().try_into().ok().map(u64::from_le_bytes),
            _ => None,
        })
}
