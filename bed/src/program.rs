//! Finds the loader and the libraries that a program needs.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::read::elf::{ElfFile64, ProgramHeader};

use crate::error::{At, Error, Result};
use crate::tool;

/// The loader and the libraries of a program; empty if it is linked statically or is not an ELF
/// program.
pub(crate) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(program).at(program)?;
    let Some(loader) = loader(&bytes) else { return Ok(Vec::new()) };
    // The loader itself lists the libraries. glibc's and musl's have the same option.
    let listed = tool::run(&loader, &["--list".as_ref(), program.as_os_str()], Path::new("/"))?;
    let mut files = vec![loader];
    for line in String::from_utf8_lossy(&listed).lines() {
        files.extend(
            library(line).map_err(|problem| Error::File { path: program.to_owned(), problem })?,
        );
    }
    Ok(files)
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

fn loader(bytes: &[u8]) -> Option<PathBuf> {
    let file = ElfFile64::<object::LittleEndian>::parse(bytes).ok()?;
    let mut headers = file.elf_program_headers().iter();
    let path =
        headers.find_map(|header| header.interpreter(file.endian(), bytes).ok().flatten())?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
