//! Finds the loader and the libraries that a program needs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

use crate::error::{At, Error, Result};
use crate::tool;

/// The loader and the libraries of a program; empty if it is linked statically or is not an ELF
/// program.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(program).at(program)?;
    let Some(loader) = loader(&bytes) else { return Ok(Vec::new()) };
    let mut files = vec![loader.clone()];
    files.extend(list(&loader, &[], program)?);
    Ok(files)
}

/// The libraries of a program or of a library, which may also be in these folders.
pub(crate) fn list(loader: &Path, folders: &[PathBuf], program: &Path) -> Result<Vec<PathBuf>> {
    // The loader itself lists the libraries. glibc's and musl's have the same option.
    let mut arguments = vec![OsStr::new("--list")];
    let path = std::env::join_paths(folders).unwrap_or_default();
    if !path.is_empty() {
        arguments.extend([OsStr::new("--library-path"), &path]);
    }
    arguments.push(program.as_os_str());
    let listed = tool::run(loader, &arguments, Path::new("/"))?;
    let lines = String::from_utf8_lossy(&listed);
    let libraries = lines.lines().filter_map(|line| library(line).transpose());
    libraries
        .collect::<Result<_, _>>()
        .map_err(|problem| Error::File { path: program.to_owned(), problem })
}

/// The path in a line such as `libc.so.6 => /lib/libc.so.6 (0x7f0)` or `/lib/ld.so (0x7f0)`.
fn library(line: &str) -> Result<Option<PathBuf>, String> {
    let line = line.trim();
    let (name, path) = line.split_once(" => ").unwrap_or((line, line));
    if path.starts_with("not found") {
        return Err(format!("needs {name}, which isn't found"));
    }
    let path = path.rsplit_once(" (").map_or(path, |(path, _)| path);
    // The vDSO has no path.
    Ok(path.starts_with('/').then(|| PathBuf::from(path)))
}

/// A program without what is behind its segments: sections, with symbols and debug information. No
/// loader reads them.
pub(crate) fn loaded_part(mut program: Vec<u8>) -> Vec<u8> {
    const SECTIONS: [std::ops::Range<usize>; 2] = [0x28..0x30, 0x3a..0x40];
    let Ok(file) = ElfFile64::<object::LittleEndian>::parse(&*program) else { return program };
    let endian = file.endian();
    let headers = file.elf_program_headers();
    let ends = headers.iter().map(|header| header.p_offset(endian) + header.p_filesz(endian));
    let end = ends.max().and_then(|end| usize::try_from(end).ok()).unwrap_or(0);
    let table = file.elf_header().e_phoff(endian) as usize + size_of_val(headers);
    let end = end.max(table);
    if end < program.len() {
        program.truncate(end);
        for place in SECTIONS {
            program[place].fill(0);
        }
    }
    program
}

/// The loader that a program names.
pub(crate) fn loader(bytes: &[u8]) -> Option<PathBuf> {
    let file = ElfFile64::<object::LittleEndian>::parse(bytes).ok()?;
    let mut headers = file.elf_program_headers().iter();
    let path =
        headers.find_map(|header| header.interpreter(file.endian(), bytes).ok().flatten())?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
