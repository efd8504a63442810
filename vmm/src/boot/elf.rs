//! ELF images: what is loaded ([`Elf`]), and where an ELF64 image has its code and its data.

mod check;

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf::{
    FileHeader64, PF_W, PF_X, PT_LOAD, ProgramHeader64, SHF_EXECINSTR, SHT_SYMTAB, STT_FUNC,
    STT_NOTYPE, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _};

use super::segments::Segments;
use crate::config::MachineConfig;

pub use check::Elf;
pub(super) use check::{is_32_bit, is_program};

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

/// The guest-physical ranges of the memory that the vCPUs share: `.shared`, or `.data` and `.bss`
/// in an image without it. Empty for an image without sections.
pub(crate) fn shared(image: Image) -> Vec<Range<u64>> {
    let named = |names: &[&[u8]]| {
        sections(image, |section, name| section.sh_size(LE) > 0 && names.contains(&name))
    };
    let shared = named(&[b".shared"]);
    if shared.is_empty() { named(&[b".data", b".bss"]) } else { shared }
}

/// Whether an image says what its vCPUs share, so that the controlled scheduler can watch it.
pub fn names_shared_memory(image: Image) -> bool {
    !shared(image).is_empty()
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

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
