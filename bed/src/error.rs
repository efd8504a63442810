//! What can go wrong with the bed.

use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user: a file that can't be carried.
    Input,
    /// The host: it lacks something, or the bed broke.
    Host,
}

/// An error of the bed; never one of the program in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the bed is made of can't be had on this machine.
    #[error("the test bed needs {what}: {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// A program that the bed is built with failed.
    #[error("the test bed: `{command}` failed:\n{said}")]
    Tool {
        /// The command line.
        command: String,
        /// The end of its standard error.
        said: String,
    },
    /// Debian's packages are not as they should be.
    #[error("the test bed: package {package}: {problem}")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that is to be carried in or out, and can't be.
    #[error("the test bed: {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("the test bed: {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The machine ended without telling what its program came to.
    #[error("the test bed {what}; the end of its console:\n{console}")]
    Broken {
        /// What happened.
        what: String,
        /// What it showed last.
        console: String,
    },
    /// The user ended it before the program had started.
    #[error("the test bed was interrupted while it booted")]
    Interrupted,
}

impl Error {
    /// Who can do something about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::File { .. } => ErrorClass::Input,
            Self::Missing { .. }
            | Self::Tool { .. }
            | Self::Package { .. }
            | Self::Io { .. }
            | Self::Broken { .. }
            | Self::Interrupted => ErrorClass::Host,
        }
    }
}

/// Adds the path to an error of the system.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}
