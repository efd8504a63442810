//! Opens the database of a campaign to read it, also where nothing can be written.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::folder::{BUSY_TIMEOUT, lock_shared};
use super::store_error::{FILE_NAME, StoreError, database, file_error};

/// A database that is only read, and the lock that keeps writers away where that is needed.
pub(super) type Reading = (Connection, Option<File>);

/// Opens the database in a folder.
///
/// While a database with a write-ahead log is open, it needs a file of shared memory beside it,
/// which can't be made in a folder that can't be written (<https://sqlite.org/wal.html#readonly>).
/// There, the database is opened as one that does not change, without its log: only if the log is
/// empty, and with the campaign's lock, so that no other process begins to write.
pub(super) fn open(folder: &Path) -> Result<Reading, StoreError> {
    let path = folder.join(FILE_NAME);
    match connect(&path, OpenFlags::empty()) {
        Ok(connection) => return Ok((connection, None)),
        Err(error) if !is_unwritable(&error) => return Err(database(&path, error)),
        Err(_) => {}
    }
    File::open(&path).map_err(|source| file_error(&path, source))?;
    let mut log = path.clone().into_os_string();
    log.push("-wal");
    let log = PathBuf::from(log);
    let is_empty = || fs::metadata(&log).map_or(0, |log| log.len()) == 0;
    let lock = lock_shared(folder)?;
    // After the lock is taken: the process that had it may have written.
    if !is_empty() {
        return Err(StoreError::Log { path: log.display().to_string() });
    }
    let connection = connect(&immutable(&path), OpenFlags::SQLITE_OPEN_URI);
    connection.map(|connection| (connection, lock)).map_err(|source| database(&path, source))
}

/// Connects, and reads something: that the folder can't be written is noticed then.
fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// The name by which `SQLite` opens a file that does not change (<https://sqlite.org/uri.html>).
fn immutable(path: &Path) -> PathBuf {
    // Without a folder, an error says so when the database is opened.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut name = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            name.push(char::from(*byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(name, "%{byte:02x}");
        }
    }
    (name + "?immutable=1").into()
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
