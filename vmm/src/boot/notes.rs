//! Finds the PVH entry point in an image's notes (Xen's `elfnote.h`).
//!
//! A note is a header, a name and a descriptor; the latter two are padded. ELF64 specifies padding
//! to 8 bytes, but most toolchains pad to 4, and the alignment of the segment should show which.
//! However, linkers also give such a segment the alignment of a page or of another note's section.
//! So an alignment of 8 is taken as such, any other as 4, and where 8 finds nothing, 4 is tried as
//! well.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, NoteType, PT_NOTE, ProgramHeader64};
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader as _};

/// The type of the note that holds the PVH entry point.
pub(super) const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// The guest-physical entry point in the first PVH note of any `PT_NOTE` segment of an ELF32 or
/// ELF64 file. A segment that can't be read is skipped.
pub(super) fn pvh_entry<H>(segments: &[H::ProgramHeader], bytes: &[u8]) -> Option<u64>
where
    H: FileHeader<Endian = LE, Word: From<u32>>,
{
    let mut notes = segments.iter().filter(|segment| segment.p_type(LE) == PT_NOTE);
    notes.find_map(|segment| entry_in::<H>(segment, bytes))
}

/// Whether the notes of an ELF64 file say for which operating system the program is: the note of
/// GNU's ABI tag (Linux Standard Base, 11.5), which linkers put into every program for Linux, also
/// into those that need no interpreter, and into no kernel.
pub(super) fn has_abi_tag(segments: &[ProgramHeader64<LE>], bytes: &[u8]) -> bool {
    const NT_GNU_ABI_TAG: NoteType = NoteType(1);
    let notes = segments.iter().filter(|segment| segment.p_type(LE) == PT_NOTE);
    let data = notes.filter_map(|segment| segment.data(LE, bytes).ok());
    let notes = data.filter_map(|data| NoteIterator::<FileHeader64<LE>>::new(LE, 4, data).ok());
    notes
        .flatten()
        .filter_map(Result::ok)
        .any(|note| note.name() == b"GNU" && note.n_type(LE) == NT_GNU_ABI_TAG)
}

fn entry_in<H>(segment: &H::ProgramHeader, bytes: &[u8]) -> Option<u64>
where
    H: FileHeader<Endian = LE, Word: From<u32>>,
{
    let data = segment.data(LE, bytes).ok()?;
    let alignments: &[u32] = if segment.p_align(LE).into() == 8 { &[8, 4] } else { &[4] };
    alignments.iter().find_map(|alignment| entry_aligned::<H>(data, *alignment))
}

fn entry_aligned<H>(data: &[u8], alignment: u32) -> Option<u64>
where
    H: FileHeader<Endian = LE, Word: From<u32>>,
{
    let notes = NoteIterator::<H>::new(LE, alignment.into(), data).ok()?;
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
