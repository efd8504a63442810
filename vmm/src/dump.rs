//! Writes a machine's memory and registers as an ELF core file, for gdb and crash.
//!
//! The layout is that of QEMU's `dump-guest-memory` (QEMU's `dump/dump.c` and
//! `target/i386/arch_dump.c`): a note with the general-purpose registers of each vCPU
//! (`NT_PRSTATUS`, a thread for gdb), a note with its system registers (`QEMU`, for crash), and
//! segments. The first segments are what the page tables of one vCPU map, with guest-virtual
//! addresses, so that gdb can follow pointers. Then follows all RAM by guest-physical address, with
//! virtual address 0. The file contains each byte once: the segments share it. Pages of zeroes are
//! not written (the file is sparse).

mod layout;
mod notes;
mod pending;

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::memory::{Memory, PAGE_SIZE};
use crate::paging::mappings;
use crate::registers::{Registers, SystemRegisters};
use layout::{Header, Segment, Segments};
use pending::Pending;

/// The maximum number of ranges of guest-virtual addresses that get segments.
const MAX_MAPPINGS: usize = 4096;

/// Writes the dump of a stopped machine. `vcpus` are in order; guest-virtual addresses are those of
/// vCPU `of`. If the file exists, the dump is written to `PATH.1`, and so on. Returns the path of
/// the dump. A dump that can't be completed leaves no file.
pub fn write(
    path: &Path,
    vcpus: &[(Registers, SystemRegisters)],
    of: u32,
    memory: &Memory,
) -> Result<PathBuf> {
    let refuse = |source| Error::Dump { path: path.to_owned(), source };
    let mut pending = Pending::create(path).map_err(refuse)?;
    fill(&mut pending.file, vcpus, of, memory).map_err(refuse)?;
    pending.publish(path).map_err(refuse)
}

fn fill(
    file: &mut File,
    vcpus: &[(Registers, SystemRegisters)],
    of: u32,
    memory: &Memory,
) -> io::Result<()> {
    let notes = notes::all(vcpus);
    let mut segments = Segments::new(memory);
    if let Some((_, system)) = vcpus.get(of as usize) {
        for mapping in mappings(system, memory, MAX_MAPPINGS) {
            segments.map(mapping);
        }
    }
    let segments = segments.finish();
    let header = Header { segments: &segments, notes: notes.len() };
    let mut out = BufWriter::new(&mut *file);
    header.write(&mut out)?;
    out.write_all(&notes)?;
    let data = header.data();
    for Segment { offset, phys, size, .. } in layout::ram(memory) {
        let mut page = [0; PAGE_SIZE as usize];
        for at in (0..size).step_by(PAGE_SIZE as usize) {
            memory.as_loaded().read(phys + at, &mut page).map_err(io::Error::other)?;
            if page.iter().any(|byte| *byte != 0) {
                out.seek(SeekFrom::Start(data + offset + at))?;
                out.write_all(&page)?;
            }
        }
    }
    out.flush()?;
    drop(out);
    file.set_len(data + layout::ram(memory).map(|region| region.size).sum::<u64>())
}

#[cfg(test)]
#[path = "dump/tests.rs"]
mod tests;
