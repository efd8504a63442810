//! Files that are there whole, or not at all.
//!
//! What is written goes to a file beside the one that is meant, `.jitterbug-*.part`. It takes the other's
//! name when all of it is on the disk: whoever looks meanwhile, or after a crash, finds what was there
//! before. A part that doesn't get a name is removed, unless the process is killed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that has no name yet.
#[derive(Debug)]
pub struct Part {
    file: NamedTempFile,
    path: PathBuf,
}

impl Part {
    /// Begins a file of this name; a symbolic link stays one. Fails if its folder takes no file.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let part = Self { file: new_in(folder_of(&path))?, path };
        if let Ok(there) = fs::metadata(&part.path) {
            part.file().set_permissions(there.permissions())?;
        }
        Ok(part)
    }

    /// Where to write.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Gives it its name, in place of what has it.
    pub fn keep(self) -> io::Result<()> {
        self.file().sync_all()?;
        self.file.persist(&self.path).map_err(|error| error.error)?;
        sync(folder_of(&self.path))
    }
}

/// Writes a file of the first of these names, all in this folder, that no other file has. A file that is there with
/// the same content will do. Where it is, and whether it was not there before.
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
                if fs::read(&path).is_ok_and(|there| there == content) {
                    return Ok((path, false));
                }
                part = error.file;
            }
            Err(error) => return Err(error.error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Fails for a folder that takes no file.
pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    new_in(folder).map(drop)
}

/// A file that goes by itself if it doesn't get a name.
fn new_in(folder: &Path) -> io::Result<NamedTempFile> {
    // As files are made: the user's mask takes away what it does.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".jitterbug-")
        .suffix(".part")
        .permissions(permissions)
        .tempfile_in(folder)
}

/// The names in this folder are on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder of a file, as it can be opened.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;
