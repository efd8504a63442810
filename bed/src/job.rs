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

/// What ends a job before its program does.
pub(crate) struct Limits<'a> {
    /// The maximum time of the whole job.
    pub(crate) time: Option<Duration>,
    /// Whether the user has interrupted the job (again).
    pub(crate) stop: &'a mut dyn FnMut() -> bool,
}

/// What came out of a machine that has powered off.
pub(crate) struct Ended {
    /// The program's exit status.
    pub(crate) status: i32,
    /// The archive of the new files.
    pub(crate) files: Vec<u8>,
}
