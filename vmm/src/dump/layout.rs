//! The layout of the dump: which part of memory is where in the file.

use std::io::{self, Write};

use crate::memory::{Memory, PAGE_SIZE};
use crate::paging::Mapping;

/// A part of the machine's RAM. `offset` counts from the start of the RAM in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) virt: u64,
    pub(super) phys: u64,
    pub(super) size: u64,
}

/// All RAM, in ascending order: the regions follow each other in the file.
pub(super) fn ram(memory: &Memory) -> impl Iterator<Item = Segment> {
    let mut offset = 0;
    memory.regions().map(move |region| {
        let here = offset;
        offset += region.size;
        Segment { offset: here, virt: 0, phys: region.start, size: region.size }
    })
}

/// Collects segments.
pub(super) struct Segments {
    ram: Vec<Segment>,
    mapped: Vec<Segment>,
}

impl Segments {
    pub(super) fn new(memory: &Memory) -> Self {
        Self { ram: ram(memory).collect(), mapped: Vec::new() }
    }

    /// Adds the parts of a mapping that are RAM.
    pub(super) fn map(&mut self, Mapping { virt, phys, size }: Mapping) {
        for region in &self.ram {
            let start = phys.max(region.phys);
            let end = phys.saturating_add(size).min(region.phys + region.size);
            if start < end {
                self.mapped.push(Segment {
                    offset: region.offset + (start - region.phys),
                    virt: virt + (start - phys),
                    phys: start,
                    size: end - start,
                });
            }
        }
    }

    /// The mapped segments come first, because gdb takes the first segment with an address.
    pub(super) fn finish(mut self) -> Vec<Segment> {
        self.mapped.append(&mut self.ram);
        self.mapped
    }
}

/// The ELF64 header and program headers (System V gABI, chapters 4 and 5).
pub(super) struct Header<'a> {
    pub(super) segments: &'a [Segment],
    /// The size in bytes of the notes, which follow the headers.
    pub(super) notes: usize,
}

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;

impl Header<'_> {
    fn headers(&self) -> u64 {
        HEADER + PROGRAM_HEADER * (1 + self.segments.len() as u64)
    }

    /// The offset of the RAM in the file.
    pub(super) fn data(&self) -> u64 {
        (self.headers() + self.notes as u64).next_multiple_of(PAGE_SIZE)
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        const CORE: u16 = 4;
        const X86_64: u16 = 62;
        const LOAD: u32 = 1;
        const NOTE: u32 = 4;
        const READ_WRITE_EXECUTE: u32 = 7;
        // 64 bits, little-endian, version 1.
        out.write_all(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0")?;
        out.write_all(&CORE.to_le_bytes())?;
        out.write_all(&X86_64.to_le_bytes())?;
        out.write_all(&1_u32.to_le_bytes())?;
        // No entry point, program headers behind this header, no section headers, no flags.
        for word in [0, HEADER, 0] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&0_u32.to_le_bytes())?;
        let count = self.segments.len() as u16 + 1;
        for half in [HEADER as u16, PROGRAM_HEADER as u16, count, 0, 0, 0] {
            out.write_all(&half.to_le_bytes())?;
        }
        let notes = self.notes as u64;
        program_header(out, NOTE, 0, [self.headers(), 0, 0, notes, notes, 4])?;
        for Segment { offset, virt, phys, size } in self.segments {
            let at = self.data() + offset;
            let words = [at, *virt, *phys, *size, *size, PAGE_SIZE];
            program_header(out, LOAD, READ_WRITE_EXECUTE, words)?;
        }
        Ok(())
    }
}

fn program_header(out: &mut impl Write, kind: u32, flags: u32, words: [u64; 6]) -> io::Result<()> {
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&flags.to_le_bytes())?;
    words.iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))
}
