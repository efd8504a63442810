//! What is to be done in the bed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A program to run in the bed, and what it needs. All paths are absolute and the same inside.
#[derive(Clone, Debug)]
pub struct Job {
    /// The program; its libraries go with it.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables beside PATH and HOME, which the bed sets.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// Files and whole folders to carry in. Programs among them bring their libraries.
    pub files: Vec<PathBuf>,
    /// A folder whose new and changed files are carried out.
    pub results: Option<PathBuf>,
    /// How long all of it may take; without it, as long as it likes.
    pub limit: Option<Duration>,
}
