//! The files in a campaign's folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::store_error::{FILE_NAME, StoreError, file_error};

/// The file by which a campaign's folder is locked.
const LOCK_NAME: &str = "lock";
/// How long to wait for another program that has locked the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The path of the database in a folder that must have one.
pub(super) fn existing(folder: &Path) -> Result<PathBuf, StoreError> {
    let path = folder.join(FILE_NAME);
    if path.is_file() {
        return Ok(path);
    }
    Err(StoreError::Missing { path: folder.display().to_string() })
}

/// Locks a campaign's folder. The lock ends with the process.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_NAME);
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|source| file_error(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Busy { path: folder.display().to_string() })
        }
        Err(TryLockError::Error(source)) => Err(file_error(&path, source)),
    }
}

/// Keeps those who would work on the campaign away. Without a file to lock, as in a copy of the
/// database alone, no process works on it.
pub(super) fn lock_shared(folder: &Path) -> Result<Option<File>, StoreError> {
    let path = folder.join(LOCK_NAME);
    let Ok(file) = File::open(&path) else { return Ok(None) };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Busy { path: folder.display().to_string() })
        }
        Err(TryLockError::Error(source)) => Err(file_error(&path, source)),
    }
}
