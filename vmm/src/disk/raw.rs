//! Opens the file of a disk, and locks it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use devices::virtio::SECTOR;

use super::overlay::Overlay;
use super::{DiskConfig, DiskMode, Storage, refused};
use crate::error::Result;

/// A disk whose file is open and locked, until the disk is dropped.
pub(crate) struct OpenDisk {
    /// The size in bytes, a multiple of [`SECTOR`].
    pub(crate) size: u64,
    /// Whether writes fail.
    pub(crate) read_only: bool,
    /// The contents.
    pub(crate) storage: Box<dyn Storage>,
}

impl OpenDisk {
    /// Opens and locks the file of a disk: for this machine alone if the guest's writes change it,
    /// else together with others that only read. Fails if the file can't be opened, if it is in
    /// use, or if it is no whole number of sectors.
    pub(crate) fn open(config: &DiskConfig) -> Result<Self> {
        let DiskConfig { path, mode } = config;
        let writes = *mode == DiskMode::ReadWrite;
        // A FIFO or a device that is named by mistake must not make the program wait.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).write(writes).custom_flags(flags).open(path);
        let file = file.map_err(|error| unopened(path, writes, &error))?;
        let metadata =
            file.metadata().map_err(|error| refused(path.display(), error.to_string()))?;
        let size = metadata.len();
        if !metadata.is_file() {
            return Err(refused(path.display(), "not a regular file: copy the disk into one"));
        }
        if size == 0 || !size.is_multiple_of(SECTOR) {
            let remedy = if size == 0 { "64M" } else { "%512" };
            let problem = format!(
                "{size} bytes long: a disk has one or more whole sectors of {SECTOR} bytes \
                 (`truncate --size={remedy} FILE` makes it so)"
            );
            return Err(refused(path.display(), problem));
        }
        lock(&file, path, writes)?;
        let storage: Box<dyn Storage> = match mode {
            DiskMode::ReadWrite | DiskMode::ReadOnly => Box::new(RawFile { file, size, writes }),
            DiskMode::CopyOnWrite => Box::new(Overlay::new(file, size)?),
        };
        Ok(Self { size, read_only: *mode == DiskMode::ReadOnly, storage })
    }
}

/// The error if a file can't be opened.
fn unopened(path: &Path, writes: bool, error: &io::Error) -> crate::Error {
    let is_protected =
        matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let hint = match error.kind() {
        _ if writes && is_protected => {
            ": a disk that is only read takes ,read-only or ,copy-on-write behind its name"
        }
        io::ErrorKind::NotFound => ": `truncate --size=64M FILE` makes an empty disk",
        io::ErrorKind::IsADirectory => ": a disk is a file with the disk's bytes",
        _ => "",
    };
    refused(path.display(), format!("{error}{hint}"))
}

/// Locks a file. The lock belongs to the open file, so it also keeps a second disk of the same
/// machine away.
fn lock(file: &File, path: &Path, writes: bool) -> Result<()> {
    let locked = if writes { file.try_lock() } else { file.try_lock_shared() };
    locked.map_err(|error| match error {
        TryLockError::WouldBlock if writes => refused(
            path.display(),
            "in use by another disk or process: a disk that the guest may write is for one machine \
             alone (with ,read-only or ,copy-on-write behind their names, several may share a file)",
        ),
        TryLockError::WouldBlock => {
            refused(path.display(), "in use by another disk or process that writes it")
        }
        TryLockError::Error(error) => {
            refused(path.display(), format!("the file can't be locked: {error}"))
        }
    })
}

/// A file whose bytes are the disk's.
struct RawFile {
    file: File,
    size: u64,
    writes: bool,
}

impl Storage for RawFile {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(data, offset)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.writes { self.file.sync_data() } else { Ok(()) }
    }

    fn damage(&self) -> Option<String> {
        let now = self.file.metadata().ok()?;
        if self.writes && now.nlink() == 0 {
            return Some("the file was deleted during the run, and all writes with it".into());
        }
        let (before, now) = (self.size, now.len());
        (now != before).then(|| {
            format!("the file's size was changed during the run, from {before} to {now} bytes")
        })
    }
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
