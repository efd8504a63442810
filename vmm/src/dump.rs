//! Writes a machine's memory and registers as an ELF core file, for gdb and crash.
//!
//! The layout is that of QEMU's `dump-guest-memory` (QEMU's `dump/dump.c` and
//! `target/i386/arch_dump.c`): a note with the general-purpose registers of each vCPU
//! (`NT_PRSTATUS`, a thread for gdb), a note with its system registers (`QEMU`, for crash), and
//! segments. The first segments are what the page tables of one vCPU map, with guest-virtual
//! addresses, so that gdb can follow pointers. Then follows all RAM by guest-physical address, with
//! virtual address 0. The file contains each byte once: the segments share it. Pages of zeroes are
//! not written (the file is sparse). For a Linux guest there is a note with its VMCOREINFO, by
//! which drgn and crash recognise the kernel.

mod layout;
mod notes;
mod pending;
mod vmcoreinfo;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::memory::{Memory, PAGE_SIZE};
use crate::paging::mappings;
use crate::registers::{Registers, SystemRegisters};
use layout::{Header, Segment, Segments};
use pending::Pending;

/// The maximum number of ranges of guest-virtual addresses that get segments.
const MAX_MAPPINGS: usize = 4096;

/// How much memory is copied and written at a time, in bytes.
const CHUNK: u64 = 1 << 20;

/// What is added to the error of a dump that may not be written.
static HINT: OnceLock<&str> = OnceLock::new();

/// Has this added to the error of a dump that may not be written. The first call counts.
pub fn explain_refusals(hint: &'static str) {
    let _ = HINT.set(hint);
}

/// Writes the dump of a stopped machine. `vcpus` are in order; guest-virtual addresses are those of
/// vCPU `of`. If the file exists, the dump is written to `PATH.1`, and so on. Returns the path of
/// the dump, which is then on the disk. A dump that can't be completed leaves no file.
pub fn write(
    path: &Path,
    vcpus: &[(Registers, SystemRegisters)],
    of: u32,
    memory: &Memory,
) -> Result<PathBuf> {
    let refuse = |source: io::Error| {
        let source = match HINT.get() {
            Some(hint) if source.kind() == io::ErrorKind::PermissionDenied => {
                io::Error::new(source.kind(), format!("{source}; {hint}"))
            }
            _ => source,
        };
        Error::Dump { path: path.to_owned(), source }
    };
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
    let mut notes = notes::all(vcpus);
    if let Some(text) = vmcoreinfo::find(memory) {
        notes::note(&mut notes, vmcoreinfo::NAME, 0, &text);
    }
    let mut segments = Segments::new(memory);
    if let Some((_, system)) = vcpus.get(of as usize) {
        for mapping in mappings(system, memory, MAX_MAPPINGS) {
            segments.map(mapping);
        }
    }
    let segments = segments.finish();
    let header = Header { segments: &segments, notes: notes.len() };
    let mut start = Vec::new();
    header.write(&mut start)?;
    start.write_all(&notes)?;
    file.write_all_at(&start, 0)?;
    let data = header.data();
    let mut buffer = vec![0; CHUNK as usize];
    for Segment { offset, phys, size, .. } in layout::ram(memory) {
        for at in (0..size).step_by(CHUNK as usize) {
            let chunk = &mut buffer[..(size - at).min(CHUNK) as usize];
            memory.as_loaded().read(phys + at, chunk).map_err(io::Error::other)?;
            write_sparse(file, chunk, data + offset + at)?;
        }
    }
    file.set_len(data + layout::ram(memory).map(|region| region.size).sum::<u64>())?;
    file.sync_all()
}

/// Writes the pages that are not all zeroes, neighbours at once.
fn write_sparse(file: &File, chunk: &[u8], at: u64) -> io::Result<()> {
    static ZEROES: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
    let is_zero = |page: &[u8]| *page == ZEROES[..page.len()];
    let pages: Vec<&[u8]> = chunk.chunks(PAGE_SIZE as usize).collect();
    let mut start = 0;
    for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
        let length = run.iter().map(|page| page.len()).sum::<usize>();
        if !is_zero(run[0]) {
            file.write_all_at(&chunk[start..start + length], at + start as u64)?;
        }
        start += length;
    }
    Ok(())
}

#[cfg(test)]
#[path = "dump/tests.rs"]
mod tests;
