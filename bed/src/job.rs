//! A job: a program to run in the test bed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A program to run in the test bed, and what it needs. All paths are absolute and are the same
/// inside.
#[derive(Clone, Debug)]
pub struct Job {
    /// The program. Its libraries are carried in with it.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables in addition to PATH and HOME, which the test bed sets.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder in which it runs.
    pub folder: PathBuf,
    /// Files and whole folders to carry in. Programs among them are carried in with their
    /// libraries.
    pub files: Vec<PathBuf>,
    /// A folder whose new and changed files are carried out.
    pub results: Option<PathBuf>,
    /// The maximum time of the whole job; `None` means no limit.
    pub limit: Option<Duration>,
}
