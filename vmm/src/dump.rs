//! A machine's memory and registers as an ELF core, which gdb and crash read.
//!
//! The layout is that of QEMU's `dump-guest-memory` (QEMU's `dump/dump.c` and
//! `target/i386/arch_dump.c`): a note with the general registers of each vCPU (`NT_PRSTATUS`, a thread
//! for gdb), a note with its system registers (`QEMU`, for crash), and segments. Those that the page
//! tables of one vCPU map have their guest-virtual addresses, so that gdb can follow pointers; then
//! comes all of the RAM by guest-physical address, with 0 for the other. Bytes are in the file once:
//! segments share them. Pages of zeroes are holes.

mod layout;
mod notes;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::memory::{Memory, PAGE_SIZE};
use crate::paging::mappings;
use crate::registers::{Registers, SystemRegisters};
use layout::{Header, Segment, Segments};

/// So many stretches of guest-virtual addresses have segments of their own.
const MAX_MAPPINGS: usize = 4096;
/// A file that is there is not written over: so many others are tried.
const MAX_NUMBER: u32 = 999;

/// Writes a machine that stands still. Its vCPUs in order; guest-virtual addresses are those of vCPU
/// `of`. A file that is there stays: the dump goes to `PATH.1` then, and so on. Returns where it went.
pub fn write(
    path: &Path,
    vcpus: &[(Registers, SystemRegisters)],
    of: u32,
    memory: &Memory,
) -> Result<PathBuf> {
    let refuse = |source| Error::Dump { path: path.to_owned(), source };
    let (mut file, path) = create(path).map_err(refuse)?;
    fill(&mut file, vcpus, of, memory)
        .map_err(|source| Error::Dump { path: path.clone(), source })?;
    Ok(path)
}

fn create(path: &Path) -> io::Result<(File, PathBuf)> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    for path in (0..=MAX_NUMBER).map(numbered) {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("it is there, and so are .1 to .{MAX_NUMBER}")))
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
