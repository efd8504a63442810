//! Checks an ELF image and loads it into guest memory, each segment at its physical address.
//!
//! Everything is checked before anything is loaded. An error names the segment, and the memory size
//! that would be sufficient.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{
    EM_X86_64, FileHeader64, PF_W, PF_X, PT_LOAD, PT_NOTE, ProgramHeader64, SHF_EXECINSTR,
    SHT_SYMTAB, STT_FUNC, STT_NOTYPE, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _};

use super::segments::Segments;
use super::{layout, notes};
use crate::config::MachineConfig;
use crate::error::{Error, Result};
use crate::memory::{HOLE_END, HOLE_START, Memory};

/// An image: its bytes, and the name that errors use.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// The file name or catalogue name.
    pub name: &'a str,
    /// The contents of the file.
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
    let (segments, entry) = check(image, memory)?;
    for segment in segments.iter().filter(|segment| is_loaded(segment)) {
        let data = segment.data(LE, image.bytes).unwrap_or_default();
        memory.write(segment.p_paddr(LE), data)?;
    }
    Ok(entry)
}

/// Whether a segment occupies memory. A segment of size 0 does not, wherever it is.
fn is_loaded(segment: &ProgramHeader64<LE>) -> bool {
    segment.p_type(LE) == PT_LOAD && size(segment) > 0
}

fn size(segment: &ProgramHeader64<LE>) -> u64 {
    segment.p_memsz(LE).max(segment.p_filesz(LE))
}

/// The guest-physical ranges of the memory that the vCPUs share: `.shared`, or `.data` and `.bss`
/// in an image without it. Empty for an image without sections.
pub(crate) fn shared(image: Image) -> Vec<Range<u64>> {
    let named = |names: &[&[u8]]| {
        sections(image, |section, name| section.sh_size(LE) > 0 && names.contains(&name))
    };
    let shared = named(&[b".shared"]);
    if shared.is_empty() { named(&[b".data", b".bss"]) } else { shared }
}

/// The guest-physical ranges of code: the executable sections, or in an image without any, the
/// segments that are executable and not writable.
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

/// The code of the image in guest-physical segments, each of which begins with an instruction, as
/// far as symbols and sections show.
pub(crate) fn code_stretches(image: Image) -> Vec<Range<u64>> {
    let segments = Segments::read(image.bytes);
    let mut starts: Vec<u64> = symbols(image)
        .into_iter()
        .filter_map(|address| segments.physical(address, 1))
        .map(|range| range.start)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let mut stretches = Vec::new();
    for section in executable(image) {
        let mut start = section.start;
        for next in starts.iter().filter(|start| section.contains(start)) {
            stretches.push(start..*next);
            start = *next;
        }
        stretches.push(start..section.end);
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

/// The linear addresses of the image's functions and of its labels without a type.
fn symbols(image: Image) -> Vec<u64> {
    let Ok(header) = FileHeader64::<LE>::parse(image.bytes) else { return Vec::new() };
    let Ok(sections) = header.sections(LE, image.bytes) else { return Vec::new() };
    let Ok(table) = sections.symbols(LE, image.bytes, SHT_SYMTAB) else { return Vec::new() };
    let may_be_code = |symbol: &&Sym64<LE>| matches!(symbol.st_type(), STT_FUNC | STT_NOTYPE);
    table.iter().filter(may_be_code).map(|symbol| symbol.st_value(LE)).collect()
}

/// The guest-physical ranges of the sections that `wanted` selects by header and name.
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

/// The contents of the image's executable segments.
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

/// The image's program headers and its PVH entry point, if the image can be loaded.
fn check<'a>(image: Image<'a>, memory: &Memory) -> Result<(&'a [ProgramHeader64<LE>], u64)> {
    let refuse = |problem: String| Err(refuse(image, problem));
    let bytes = image.bytes;
    if !bytes.starts_with(b"\x7fELF") {
        return refuse(not_elf(bytes).into());
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
    // Computed over all segments, so that the memory size in an error message is sufficient.
    let image_end = segments
        .iter()
        .filter(|segment| segment.p_type(LE) == PT_LOAD)
        .map(|segment| segment.p_paddr(LE).saturating_add(segment.p_memsz(LE)))
        .max()
        .unwrap_or(0);
    for segment in segments.iter().filter(|segment| is_loaded(segment)) {
        if let Some(range) = missing(segment, bytes) {
            return refuse(format!("{}, but {range}", truncated()));
        }
        aligned(segment)
            .and_then(|()| place(segment.p_paddr(LE), size(segment), image_end, memory))
            .map_err(|problem| self::refuse(image, problem))?;
    }
    if !segments.iter().any(is_loaded) {
        return refuse("nothing to load: it has no PT_LOAD segment with a size".into());
    }
    let Some(entry) = notes::pvh_entry(segments, bytes) else {
        let mut notes = segments.iter().filter(|segment| segment.p_type(LE) == PT_NOTE);
        return refuse(match notes.find_map(|segment| missing(segment, bytes)) {
            Some(range) => format!("{}, but {range}", truncated()),
            None => "no PVH entry note (Xen, type 18): build the kernel with one (Linux: \
                     CONFIG_PVH=y)"
                .into(),
        });
    };
    let has_entry = |segment: &ProgramHeader64<LE>| {
        let offset = entry.checked_sub(segment.p_paddr(LE));
        is_loaded(segment) && offset.is_some_and(|offset| offset < size(segment))
    };
    if !segments.iter().any(has_entry) {
        return refuse(format!(
            "its PVH note gives the entry point {entry:#x}, which no segment covers: link the note \
             with the entry's physical address"
        ));
    }
    Ok((segments, entry))
}

/// Identifies a file that isn't ELF, and says what to give instead.
fn not_elf(bytes: &[u8]) -> &'static str {
    /// The places of the signatures of a bzImage's boot sector and of its setup header (Linux,
    /// `Documentation/arch/x86/boot.rst`).
    const BOOT_FLAG: std::ops::Range<usize> = 0x1fe..0x200;
    const HEADER: std::ops::Range<usize> = 0x202..0x206;
    let is_bzimage =
        bytes.get(BOOT_FLAG) == Some(b"\x55\xaa") && bytes.get(HEADER) == Some(b"HdrS");
    let packers: [&[u8]; 5] =
        [b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh", b"\x04\x22\x4d\x18"];
    if is_bzimage {
        "this is a bzImage, a compressed Linux kernel: give the vmlinux that is inside \
         (scripts/extract-vmlinux of the Linux sources takes it out), built with CONFIG_PVH=y"
    } else if packers.iter().any(|magic| bytes.starts_with(magic)) {
        "a compressed file: unpack it, and give the ELF64 kernel with a PVH note that is inside"
    } else {
        "not an ELF file: give an ELF64 kernel with a PVH note"
    }
}

/// The bytes of a segment that are missing from the file, if the file is truncated.
fn missing(segment: &ProgramHeader64<LE>, bytes: &[u8]) -> Option<String> {
    let (offset, size) = (segment.p_offset(LE), segment.p_filesz(LE));
    let is_whole = offset.checked_add(size).is_some_and(|end| end <= bytes.len() as u64);
    (!is_whole).then(|| {
        let end = offset.saturating_add(size);
        format!("a segment needs the bytes from {offset:#x} to {end:#x}")
    })
}

/// Checks that a segment's alignment is a power of two. The segment's address need not be a
/// multiple of it: linkers pack segments, and only the address counts.
fn aligned(segment: &ProgramHeader64<LE>) -> Result<(), String> {
    let (alignment, physical) = (segment.p_align(LE), segment.p_paddr(LE));
    if alignment > 1 && !alignment.is_power_of_two() {
        return Err(format!(
            "a segment at {physical:#x} with the alignment {alignment:#x}, which is no power of two"
        ));
    }
    Ok(())
}

/// Checks that a segment is in RAM that images may use.
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
