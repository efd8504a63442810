//! Disks: files with the contents of a guest's disk, byte for byte.

mod faulty;
mod overlay;
mod raw;
mod storage;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
pub use faulty::DiskFaults;
pub(crate) use faulty::Injected;
pub(crate) use raw::OpenDisk;
pub(crate) use storage::{Storage, perform};

/// The option, for messages.
const OPTION: &str = "--disk";

/// What a guest's writes to a disk do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskMode {
    /// They change the file.
    #[default]
    ReadWrite,
    /// They fail.
    ReadOnly,
    /// They are kept until the end of the run, and the file stays as it is.
    CopyOnWrite,
}

impl DiskMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::ReadWrite, Self::ReadOnly, Self::CopyOnWrite];

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::CopyOnWrite => "copy-on-write",
        }
    }
}

/// A disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// The file.
    pub path: PathBuf,
    /// What the guest's writes do.
    pub mode: DiskMode,
}

impl fmt::Display for DiskConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        // The name of a file that contains a comma needs a mode behind it.
        if self.mode == DiskMode::ReadWrite && !path.to_string().contains(',') {
            return path.fmt(f);
        }
        write!(f, "{path},{}", self.mode.name())
    }
}

impl FromStr for DiskConfig {
    type Err = Error;

    /// Reads `FILE` or `FILE,MODE`. What is behind the last comma is the mode.
    fn from_str(text: &str) -> Result<Self> {
        let (path, mode) = if let Some((path, name)) = text.rsplit_once(',') {
            let mode = DiskMode::ALL.into_iter().find(|mode| mode.name() == name);
            let mode = mode.ok_or_else(|| {
                let problem = format!(
                    "what is behind the comma is no mode: give read-only, copy-on-write or \
                     read-write ({text},read-write for a file of this name)"
                );
                refused(text, problem)
            })?;
            (path, mode)
        } else {
            (text, DiskMode::default())
        };
        if path.is_empty() {
            return Err(refused(text, "name a file, such as disk.img or disk.img,read-only"));
        }
        Ok(Self { path: path.into(), mode })
    }
}

impl Serialize for DiskConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The error of a disk that can't be used.
fn refused(value: impl fmt::Display, problem: impl Into<String>) -> Error {
    Error::Config { setting: OPTION, value: value.to_string(), problem: problem.into() }
}

#[cfg(test)]
#[path = "disk/disk_tests.rs"]
mod tests;
