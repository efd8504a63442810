//! Writes files whole or not at all.
//!
//! The content is first written to a temporary file `.jitterbug-*.part` in the same folder, which
//! is renamed to the final name when all of it is on the disk: until then, and after a crash, a
//! reader finds the previous file. A temporary file that is not renamed is removed, unless the
//! process is killed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that doesn't have its final name yet.
#[derive(Debug)]
pub struct Part {
    file: NamedTempFile,
    path: PathBuf,
}

impl Part {
    /// Begins a file of this name; a symbolic link remains a link, and its target is replaced.
    /// Fails if no file can be created in the folder.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let part = Self { file: new_in(folder_of(&path))?, path };
        if let Ok(there) = fs::metadata(&part.path) {
            part.file().set_permissions(there.permissions())?;
        }
        Ok(part)
    }

    /// The file to write to.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Gives the file its name, in place of any file that has that name.
    pub fn keep(self) -> io::Result<()> {
        self.file().sync_all()?;
        self.file.persist(&self.path).map_err(|error| error.error)?;
        sync(folder_of(&self.path))
    }
}

/// Writes a file in this folder under the first of these names that no other file has. If a file of
/// such a name has the same content, it is used instead. Returns its path, and whether it is new.
pub(crate) fn write_new(
    content: &[u8],
    folder: &Path,
    names: impl Iterator<Item = String>,
) -> io::Result<(PathBuf, bool)> {
    let mut part = new_in(folder)?;
    part.write_all(content)?;
    part.as_file().sync_all()?;
    for path in names.map(|name| folder.join(name)) {
        match part.persist_noclobber(&path) {
            Ok(_) => return sync(folder).map(|()| (path, true)),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                if has_content(&path, content) {
                    return Ok((path, false));
                }
                part = error.file;
            }
            Err(error) => return Err(error.error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether this is a regular file with this content. Reading another file might not end.
fn has_content(path: &Path, content: &[u8]) -> bool {
    let is_alike = |about: fs::Metadata| about.is_file() && about.len() == content.len() as u64;
    fs::metadata(path).is_ok_and(is_alike) && fs::read(path).is_ok_and(|there| there == content)
}

/// Fails if no file can be created in this folder.
pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    new_in(folder).map(drop)
}

/// Creates a temporary file, which is removed unless it gets its final name.
fn new_in(folder: &Path) -> io::Result<NamedTempFile> {
    // The usual permissions of a new file; the user's umask is applied to them.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".jitterbug-")
        .suffix(".part")
        .permissions(permissions)
        .tempfile_in(folder)
}

/// Writes the folder's entries to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder of a file, as a path that can be opened.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;
