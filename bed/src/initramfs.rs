//! The archive that the kernel unpacks into its root: a cpio file in the format `newc` (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst). It is not compressed, because an
//! emulated processor would take longer to unpack it than QEMU takes to copy it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, trailer};

use crate::error::{At, Error, Result};
use crate::program;

/// Bits of a file's mode that give its type (`stat.h`).
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

/// Folders on which the kernel's own file systems are mounted.
const OF_THE_KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

enum Entry {
    Folder { mode: u32 },
    Copy { from: PathBuf, mode: u32 },
    Text { content: Vec<u8>, mode: u32 },
}

/// The contents of the archive, by path without the leading `/`. The same contents always make the
/// same archive: entries are sorted and have no times.
#[derive(Default)]
pub(crate) struct Initramfs {
    entries: BTreeMap<String, Entry>,
    /// Whether programs are carried without what no loader reads.
    is_lean: bool,
}

impl Initramfs {
    /// An empty archive. In a lean one, programs have no debug information.
    pub(crate) fn new(is_lean: bool) -> Self {
        Self { is_lean, ..Self::default() }
    }

    /// Adds a folder that every user may read, and the folders that contain it.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<()> {
        for folder in path.ancestors() {
            let name = name(folder)?;
            if !name.is_empty() {
                self.entries.entry(name).or_insert(Entry::Folder { mode: 0o755 });
            }
        }
        Ok(())
    }

    /// Adds a folder that every user may write to.
    pub(crate) fn scratch(&mut self, path: &Path) -> Result<()> {
        self.entries.insert(name(path)?, Entry::Folder { mode: 0o1777 });
        Ok(())
    }

    /// Adds a file with this content.
    pub(crate) fn text(
        &mut self,
        path: &Path,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Result<()> {
        self.put(path, Entry::Text { content: content.into(), mode })
    }

    /// Adds a copy of a file, under another path.
    pub(crate) fn copy(&mut self, path: &Path, from: &Path, mode: u32) -> Result<()> {
        self.put(path, Entry::Copy { from: from.to_owned(), mode })
    }

    fn put(&mut self, path: &Path, entry: Entry) -> Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("/")))?;
        self.entries.insert(name(path)?, entry);
        Ok(())
    }

    /// Adds a file or a whole folder, under the same path. Programs are added with their libraries.
    pub(crate) fn carry(&mut self, path: &Path) -> Result<()> {
        let metadata = fs::metadata(path).at(path)?;
        if OF_THE_KERNEL.iter().any(|folder| path.starts_with(folder)) {
            return Ok(());
        }
        if metadata.is_dir() {
            self.folder(path)?;
            for entry in fs::read_dir(path).at(path)? {
                self.carry(&entry.at(path)?.path())?;
            }
            return Ok(());
        }
        if !metadata.is_file() {
            let problem = "neither a file nor a folder".to_owned();
            return Err(Error::File { path: path.to_owned(), problem });
        }
        let mode = metadata.permissions().mode() & 0o777;
        self.copy(path, path, mode)?;
        if mode & 0o111 != 0 {
            let libraries = program::libraries(path)?;
            // A guest is an ELF file too, but has no loader, and its symbols are read.
            if self.is_lean && !libraries.is_empty() {
                let program = fs::read(path).at(path)?;
                self.text(path, program::loaded_part(program), mode)?;
            }
            for library in libraries {
                self.copy(&library, &library, 0o755)?;
            }
        }
        Ok(())
    }

    /// Writes the archive.
    pub(crate) fn write(&self, to: &Path) -> Result<()> {
        let mut archive = io::BufWriter::new(File::create(to).at(to)?);
        for (number, (name, entry)) in (1..).zip(&self.entries) {
            let (mode, size, content, place): (u32, u64, Box<dyn Read>, &Path) = match entry {
                Entry::Folder { mode } => (FOLDER | mode, 0, Box::new(io::empty()), to),
                Entry::Text { content, mode } => {
                    (REGULAR | mode, content.len() as u64, Box::new(Cursor::new(content)), to)
                }
                Entry::Copy { from, mode } => {
                    let file = File::open(from).at(from)?;
                    let size = file.metadata().at(from)?.len();
                    (REGULAR | mode, size, Box::new(file), from)
                }
            };
            let size = u32::try_from(size).map_err(|_| Error::File {
                path: place.to_owned(),
                problem: "larger than 4 GiB".into(),
            })?;
            let links = if mode & FOLDER != 0 { 2 } else { 1 };
            let mut writer =
                Builder::new(name).ino(number).mode(mode).nlink(links).write(&mut archive, size);
            copy(&mut content.take(size.into()), place, &mut writer, to)?;
            writer.finish().at(to)?;
        }
        let mut archive = trailer(archive).at(to)?;
        archive.flush().at(to)
    }
}

/// Copies all that there is to read. An error names the file that it is about.
fn copy(from: &mut dyn Read, read: &Path, to: &mut dyn Write, written: &Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(part) => to.write_all(&buffer[..part]).at(written)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).at(read),
        }
    }
}

/// A path's name in the archive.
fn name(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| Error::File {
        path: path.to_owned(),
        problem: "its name is not UTF-8".into(),
    })?;
    Ok(text.trim_start_matches('/').to_owned())
}

#[cfg(test)]
#[path = "initramfs_tests.rs"]
mod tests;
