//! Checks an ELF image and puts it into guest memory.
//!
//! linux-loader does the loading. The checks come first and are our own, because its errors don't
//! say which segment, or how much memory would be enough.

use std::io::Cursor;
use std::ops::Range;

use linux_loader::loader::elf::PvhBootCapability;
use linux_loader::loader::{Elf, KernelLoader};
use object::LittleEndian as LE;
use object::elf::{
    EM_X86_64, FileHeader64, NoteType, PF_W, PF_X, PT_LOAD, PT_NOTE, ProgramHeader64,
    SHF_EXECINSTR, SectionHeader64,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};

use super::layout;
use super::segments::Segments;
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{HOLE_END, HOLE_START, Memory};

/// The note that holds the PVH entry point (Xen's `elfnote.h`).
const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// An image: its bytes, and the name by which errors speak of it.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// A file name or a catalogue name.
    pub name: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
}

impl<'a> Image<'a> {
    /// The image of a machine's guest.
    pub(crate) fn of(config: &'a MachineConfig) -> Self {
        Self { name: &config.guest.name, bytes: &config.guest.bytes }
    }
}

/// Loads the image and returns its PVH entry point, a guest-physical address.
pub fn load(image: Image, memory: &Memory) -> Result<u64> {
    check(image, memory)?;
    let loaded = Elf::load(memory.map(), None, &mut Cursor::new(image.bytes), None)
        .map_err(|error| refuse(image, error.to_string()))?;
    match loaded.pvh_boot_cap {
        PvhBootCapability::PvhEntryPresent(entry) => Ok(entry.0),
        _ => Err(refuse(image, "the PVH note can't be read".into())),
    }
}

/// Where what the vCPUs share is in guest-physical memory: `.shared`, or `.data` and `.bss` in an
/// image without it. Empty in an image without sections.
pub(crate) fn shared(image: Image) -> Vec<Range<u64>> {
    let named = |names: &[&[u8]]| {
        sections(image, |section, name| section.sh_size(LE) > 0 && names.contains(&name))
    };
    let shared = named(&[b".shared"]);
    if shared.is_empty() { named(&[b".data", b".bss"]) } else { shared }
}

/// Where code is in guest-physical memory: the executable sections, or in an image that tells of none,
/// the segments that are executable and not writable.
pub(crate) fn executable(image: Image) -> Vec<Range<u64>> {
    let marked = |section: &SectionHeader64<LE>, _: &[u8]| {
        section.sh_flags(LE).0 & SHF_EXECINSTR.0 != 0 && section.sh_size(LE) > 0
    };
    let found = sections(image, marked);
    if !found.is_empty() {
        return found;
    }
    let header = FileHeader64::<LE>::parse(image.bytes);
    let segments = header.and_then(|header| header.program_headers(LE, image.bytes));
    segments
        .unwrap_or_default()
        .iter()
        .filter(|segment| {
            let flags = segment.p_flags(LE).0;
            segment.p_type(LE) == PT_LOAD && flags & PF_X.0 != 0 && flags & PF_W.0 == 0
        })
        .map(|segment| {
            let start = segment.p_paddr(LE);
            start..start.saturating_add(segment.p_memsz(LE))
        })
        .collect()
}

/// Where the sections that `wanted` picks by header and name are in guest-physical memory.
fn sections(image: Image, wanted: impl Fn(&SectionHeader64<LE>, &[u8]) -> bool) -> Vec<Range<u64>> {
    let Ok(header) = FileHeader64::<LE>::parse(image.bytes) else { return Vec::new() };
    let Ok(sections) = header.sections(LE, image.bytes) else { return Vec::new() };
    let segments = Segments::read(image.bytes);
    sections
        .iter()
        .filter(|section| {
            sections.section_name(LE, section).is_ok_and(|name| wanted(section, name))
        })
        .filter_map(|section| segments.physical(section.sh_addr(LE), section.sh_size(LE)))
        .collect()
}

/// The bytes of the image that may be executed.
pub(crate) fn code(image: Image<'_>) -> impl Iterator<Item = &[u8]> {
    let segments = FileHeader64::<LE>::parse(image.bytes)
        .and_then(|header| header.program_headers(LE, image.bytes));
    let executable = |segment: &&ProgramHeader64<LE>| {
        segment.p_type(LE) == PT_LOAD && segment.p_flags(LE).0 & PF_X.0 != 0
    };
    let data = move |segment: &ProgramHeader64<LE>| segment.data(LE, image.bytes).unwrap_or(&[]);
    segments.unwrap_or_default().iter().filter(executable).map(data)
}

fn refuse(image: Image, problem: String) -> Error {
    Error::Image { name: image.name.into(), problem }
}

fn check(image: Image, memory: &Memory) -> Result<()> {
    let refuse = |problem: String| Err(refuse(image, problem));
    let bytes = image.bytes;
    if !bytes.starts_with(b"\x7fELF") {
        return refuse("not an ELF file: give an ELF64 kernel with a PVH note".into());
    }
    if bytes.get(4) == Some(&1) {
        return refuse("a 32-bit ELF file: give an ELF64 one".into());
    }
    let truncated = || format!("truncated: it ends after {} bytes", bytes.len());
    let Ok(header) = FileHeader64::<LE>::parse(bytes) else {
        return refuse(if bytes.len() < 64 { truncated() } else { "a damaged ELF header".into() });
    };
    if header.e_machine(LE) != EM_X86_64 {
        return refuse(format!(
            "for another machine (e_machine {}): give x86-64 code",
            header.e_machine(LE)
        ));
    }
    let Ok(segments) = header.program_headers(LE, bytes) else {
        return refuse(format!("{}, inside its program headers", truncated()));
    };
    let mut loadable = 0;
    let mut entry = false;
    // Of all segments, so that the memory that a refusal advises is enough.
    let image_end = segments
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD)
        .map(|segment| segment.p_paddr(LE).saturating_add(segment.p_memsz(LE)))
        .max()
        .unwrap_or(0);
    for segment in segments {
        let (offset, in_file) = (segment.p_offset(LE), segment.p_filesz(LE));
        if !matches!(segment.p_type(LE), PT_LOAD | PT_NOTE) {
            continue;
        }
        if offset.checked_add(in_file).is_none_or(|end| end > bytes.len() as u64) {
            return refuse(format!(
                "{}, but a segment needs the bytes from {offset:#x} to {:#x}",
                truncated(),
                offset.saturating_add(in_file)
            ));
        }
        if segment.p_type(LE) == PT_NOTE {
            let Ok(Some(mut notes)) = segment.notes(LE, bytes) else { continue };
            while let Ok(Some(note)) = notes.next() {
                entry |= note.name() == b"Xen" && note.n_type(LE) == XEN_ELFNOTE_PHYS32_ENTRY;
            }
        } else {
            loadable += 1;
            let size = segment.p_memsz(LE).max(in_file);
            place(segment.p_paddr(LE), size, image_end, memory).or_else(refuse)?;
        }
    }
    if loadable == 0 {
        return refuse("nothing to load: it has no PT_LOAD segment".into());
    }
    if !entry {
        return refuse(
            "no PVH entry note (Xen, type 18): build the kernel with one (Linux: CONFIG_PVH=y)"
                .into(),
        );
    }
    Ok(())
}

/// Checks that a segment lies in RAM that is free for it.
fn place(start: u64, size: u64, image_end: u64, memory: &Memory) -> Result<(), String> {
    let last = memory.regions().last().map_or(0, |region| region.start + region.size);
    let Some(end) = start.checked_add(size) else {
        return Err(format!("a segment at {start:#x} with the absurd size {size:#x}"));
    };
    if start < layout::HIGH_START {
        return Err(format!(
            "a segment at {start:#x}: the first MiB holds boot data; link it at {:#x} or above",
            layout::HIGH_START
        ));
    }
    if end > last {
        let needed = end.max(image_end).div_ceil(1 << 20);
        return Err(format!(
            "larger than memory: a segment ends at {end:#x}, memory at {last:#x}; give --mem {needed}M or more"
        ));
    }
    if start < HOLE_END && end > HOLE_START {
        return Err(format!(
            "a segment from {start:#x} to {end:#x} runs into the devices at {HOLE_START:#x}"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
