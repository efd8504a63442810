//! Why a campaign's store can't be used.

use std::io;
use std::path::Path;

use crate::commands::quoted_path;

/// The database's name in the campaign's folder.
pub const FILE_NAME: &str = "campaign.sqlite";

/// Why a campaign's store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("{path}: there is no campaign (no {FILE_NAME})")]
    Missing {
        /// The folder.
        path: String,
    },
    /// There is one already.
    #[error(
        "{path}: there is a campaign already: go on with it by `jitterbug experiment resume {}`, \
         or name another folder by --out",
        quoted_path(path)
    )]
    Exists {
        /// The folder.
        path: String,
    },
    /// Another process works on it.
    #[error("{path}: another process works on this campaign")]
    Busy {
        /// The folder.
        path: String,
    },
    /// Not all of it is in the database, and the rest can't be read in this folder.
    #[error(
        "{path}: it has runs that can only be read where this folder can be written: copy the \
         folder, with all of its files, and name the copy"
    )]
    Log {
        /// The log.
        path: String,
    },
    /// Another version of jitterbug has made it, or it is damaged.
    #[error("{path}: {problem}")]
    Content {
        /// The database.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A file can't be used.
    #[error("{path}")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// `SQLite` failed.
    #[error("{path}")]
    Database {
        /// The database.
        path: String,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
}

pub(super) fn file_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::File { path: path.display().to_string(), source }
}

pub(super) fn database(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Database { path: path.display().to_string(), source }
}
