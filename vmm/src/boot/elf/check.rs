//! Checks an ELF image against the memory, and loads it, each segment at its physical address.
//!
//! Everything is checked before anything is loaded. An error names the segment, and the memory size
//! that would be sufficient.

use object::LittleEndian as LE;
use object::elf::{
    ELFCLASS32, EM_X86_64, FileHeader32, FileHeader64, Machine, PT_INTERP, PT_LOAD, PT_NOTE,
};
use object::read::elf::{FileHeader, ProgramHeader as _};

use super::Image;
use crate::boot::{layout, notes};
use crate::error::{Error, Result};
use crate::memory::{HOLE_END, HOLE_START, Memory};

/// The machine of 32-bit code, which a vCPU runs as well.
const EM_386: Machine = Machine(3);

/// An ELF image that can be loaded.
#[derive(Debug)]
pub struct Elf<'a> {
    image: Image<'a>,
    segments: Vec<Loaded<'a>>,
    entry: u64,
    pvh_entry: Option<u64>,
}

/// A segment that occupies memory.
#[derive(Debug)]
struct Loaded<'a> {
    /// The guest-physical address.
    address: u64,
    linear: u64,
    /// The size in memory, which is at least that of the data.
    size: u64,
    data: &'a [u8],
}

impl<'a> Elf<'a> {
    /// Reads an image of either width. Fails if it is damaged, or does not fit into the memory.
    pub fn check(image: Image<'a>, memory: &Memory) -> Result<Self> {
        let read = if is_32_bit(image.bytes) {
            read::<FileHeader32<LE>>(image, memory)
        } else {
            read::<FileHeader64<LE>>(image, memory)
        };
        read.map_err(|problem| Error::Image { name: image.name.into(), problem })
    }

    /// Copies the segments to their places. The rest of each is zeros already.
    pub fn load(&self, memory: &Memory) -> Result<()> {
        self.segments.iter().try_for_each(|it| memory.write(it.address, it.data))
    }

    /// The end of the last segment.
    pub(in crate::boot) fn end(&self) -> u64 {
        self.segments.iter().map(|it| it.address + it.size).max().unwrap_or(0)
    }

    /// Whether a guest-physical address is in a segment.
    pub(in crate::boot) fn covers(&self, address: u64) -> bool {
        let in_segment =
            |it: &Loaded| address.checked_sub(it.address).is_some_and(|offset| offset < it.size);
        self.segments.iter().any(in_segment)
    }

    /// The entry point in the ELF header.
    pub(in crate::boot) fn entry(&self) -> u64 {
        self.entry
    }

    /// The guest-physical address of the entry point in the ELF header, which is a linear address
    /// of a segment, or else a guest-physical one. `None` if it is in no segment.
    pub(in crate::boot) fn physical_entry(&self) -> Option<u64> {
        let translate = |it: &Loaded| {
            let offset = self.entry.checked_sub(it.linear).filter(|offset| *offset < it.size)?;
            Some(it.address + offset)
        };
        let translated = self.segments.iter().find_map(translate);
        translated.or_else(|| self.covers(self.entry).then_some(self.entry))
    }

    /// The entry point in the PVH note, a guest-physical address.
    pub fn pvh_entry(&self) -> Result<u64> {
        let problem = match self.pvh_entry {
            Some(entry) if self.covers(entry) => return Ok(entry),
            Some(entry) => format!(
                "its PVH note gives the entry point {entry:#x}, which no segment covers: link the \
                 note with the entry's physical address"
            ),
            None => "no PVH entry note (Xen, type 18)".into(),
        };
        Err(Error::Image { name: self.image.name.into(), problem })
    }
}

/// Whether it is an ELF32 file.
pub(in crate::boot) fn is_32_bit(bytes: &[u8]) -> bool {
    bytes.get(4) == Some(&ELFCLASS32.0)
}

/// Whether an ELF64 file is a program of an operating system: it asks for an interpreter, or says
/// for which system it is.
pub(in crate::boot) fn is_program(bytes: &[u8]) -> bool {
    let segments = FileHeader64::<LE>::parse(bytes)
        .and_then(|header| header.program_headers(LE, bytes))
        .unwrap_or_default();
    segments.iter().any(|it| it.p_type(LE) == PT_INTERP) || notes::has_abi_tag(segments, bytes)
}

fn read<'a, H>(image: Image<'a>, memory: &Memory) -> Result<Elf<'a>, String>
where
    H: FileHeader<Endian = LE, Word: From<u32>>,
{
    let bytes = image.bytes;
    let truncated = || format!("truncated: it ends after {} bytes", bytes.len());
    let Ok(header) = H::parse(bytes) else {
        let is_short = bytes.len() < size_of::<H>();
        return Err(if is_short { truncated() } else { "a damaged ELF header".into() });
    };
    let machine = header.e_machine(LE);
    if machine != EM_X86_64 && machine != EM_386 {
        return Err(format!("for another machine (e_machine {machine}): give x86-64 code"));
    }
    let Ok(segments) = header.program_headers(LE, bytes) else {
        return Err(format!("{}, inside its program headers", truncated()));
    };
    let size = |it: &H::ProgramHeader| it.p_memsz(LE).into().max(it.p_filesz(LE).into());
    // A segment of size 0 occupies no memory, wherever it is.
    let is_loaded = |it: &&H::ProgramHeader| it.p_type(LE) == PT_LOAD && size(it) > 0;
    // Computed over all segments, so that the memory size in an error message is sufficient.
    let image_end = segments
        .iter()
        .filter(is_loaded)
        .map(|it| it.p_paddr(LE).into().saturating_add(size(it)))
        .max();
    let Some(image_end) = image_end else {
        return Err("nothing to load: it has no PT_LOAD segment with a size".into());
    };
    let mut loaded = Vec::new();
    for segment in segments.iter().filter(is_loaded) {
        let address = segment.p_paddr(LE).into();
        let Ok(data) = segment.data(LE, bytes) else {
            return Err(format!("{}, but {}", truncated(), missing::<H>(segment)));
        };
        aligned(address, segment.p_align(LE).into())?;
        place(address, size(segment), image_end, memory)?;
        let linear = segment.p_vaddr(LE).into();
        loaded.push(Loaded { address, linear, size: size(segment), data });
    }
    let pvh_entry = notes::pvh_entry::<H>(segments, bytes);
    let mut notes = segments.iter().filter(|it| it.p_type(LE) == PT_NOTE);
    if let (None, Some(note)) = (pvh_entry, notes.find(|it| it.data(LE, bytes).is_err())) {
        return Err(format!("{}, but {}", truncated(), missing::<H>(note)));
    }
    let entry = header.e_entry(LE).into();
    Ok(Elf { image, segments: loaded, entry, pvh_entry })
}

/// Says which bytes of a segment are missing from a truncated file.
fn missing<H: FileHeader<Endian = LE>>(segment: &H::ProgramHeader) -> String {
    let (offset, size) = segment.file_range(LE);
    format!("a segment needs the bytes from {offset:#x} to {:#x}", offset.saturating_add(size))
}

/// Checks that a segment's alignment is a power of two. The segment's address need not be a
/// multiple of it: linkers pack segments, and only the address counts.
fn aligned(address: u64, alignment: u64) -> Result<(), String> {
    if alignment > 1 && !alignment.is_power_of_two() {
        return Err(format!(
            "a segment at {address:#x} with the alignment {alignment:#x}, which is no power of two"
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
    if start < HOLE_END && end > HOLE_START {
        return Err(format!(
            "a segment from {start:#x} to {end:#x} runs into the devices at {HOLE_START:#x}"
        ));
    }
    if end > last {
        let needed = end.max(image_end).div_ceil(1 << 20);
        return Err(format!(
            "larger than memory: a segment ends at {end:#x}, memory at {last:#x}; give --mem {needed}M or more"
        ));
    }
    Ok(())
}
