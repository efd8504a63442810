//! The errors of the test bed.

use std::io;
use std::path::{Path, PathBuf};

/// The result of the functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether the user or the host is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The user: for example, a file can't be carried in.
    Input,
    /// The host: it lacks something, or the emulated machine failed.
    Host,
}

/// An error of the test bed itself, never of the program in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the test bed is not available on this host.
    #[error("the test bed needs {what}: {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to get it.
        remedy: String,
    },
    /// A program that prepares the test bed failed.
    #[error("the test bed: `{command}` failed:\n{said}")]
    Tool {
        /// The command line.
        command: String,
        /// The end of its standard error.
        said: String,
    },
    /// A Debian package doesn't have the expected contents.
    #[error("the test bed: package {package}: {problem}")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file can't be carried in or out.
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
    /// The machine ended without reporting the exit status of its program.
    #[error("the test bed {what}; the end of its console:\n{console}")]
    Broken {
        /// What happened.
        what: String,
        /// The end of its console output.
        console: String,
    },
    /// The user interrupted the job, and the program could not be told.
    #[error("the test bed was interrupted {when}")]
    Interrupted {
        /// The state in which the machine was.
        when: &'static str,
    },
}

impl Error {
    /// Whether the user or the host is at fault.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::File { .. } => ErrorClass::Input,
            Self::Missing { .. }
            | Self::Tool { .. }
            | Self::Package { .. }
            | Self::Io { .. }
            | Self::Broken { .. }
            | Self::Interrupted { .. } => ErrorClass::Host,
        }
    }
}

/// Adds the path to a system error.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}
