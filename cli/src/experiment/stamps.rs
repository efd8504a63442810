//! Notices that a file is changed while a campaign runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file system says about a file: its device, inode, size, and the times of the last change
/// of its contents and of its inode. A program can set the former time, but not the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    contents: (i64, i64),
    status: (i64, i64),
}

impl Stamp {
    /// `None` if there is no such file, or none that can be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            contents: (metadata.mtime(), metadata.mtime_nsec()),
            status: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Files, as they were when they were added.
#[derive(Debug, Default)]
pub(super) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// Adds a file, before it is read.
    pub(super) fn add(&mut self, path: &Path) {
        self.0.entry(path.into()).or_insert_with(|| Stamp::of(path));
    }

    /// Whether a file was changed since it was added.
    pub(super) fn has_changed(&self, path: &Path) -> bool {
        self.0.get(path).is_some_and(|before| *before != Stamp::of(path))
    }

    /// The first of the files that were changed.
    pub(super) fn changed(&self) -> Option<&Path> {
        self.0.keys().map(PathBuf::as_path).find(|path| self.has_changed(path))
    }
}

#[cfg(test)]
#[path = "stamps_tests.rs"]
mod tests;
