//! The folder in which a run of the test bed keeps its files. A run that ends removes it; one that
//! was killed can't, so the next run does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::error::{At, Result};

/// How the names of these folders start.
const PREFIX: &str = "jitterbug-bed-";

/// The file whose lock says that the run is alive: the system unlocks it at the end of the process.
const LOCK: &str = "lock";

/// The age from which an unlocked folder is taken for one that was left behind. A run makes its
/// folder and locks it in two steps.
const LEFT_BEHIND: Duration = Duration::from_mins(1);

/// A folder of this run alone, removed when it is dropped.
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes the folder in `within`, and removes those that runs which were killed left there.
    pub(crate) fn new(within: &Path) -> Result<Self> {
        sweep(within, LEFT_BEHIND);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(within).at(within)?;
        let path = folder.path().join(LOCK);
        let lock = File::create(&path).at(&path)?;
        lock.lock().at(&path)?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders that are older than `age` and belong to no run. Folders of other users can't
/// be removed, and another run may remove the same ones: neither is an error of this run.
fn sweep(within: &Path, age: Duration) {
    for folder in fs::read_dir(within).into_iter().flatten().flatten() {
        let is_ours = folder.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && is_left_behind(&folder.path(), age) {
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

fn is_left_behind(folder: &PathBuf, age: Duration) -> bool {
    let Ok(changed) = fs::symlink_metadata(folder).and_then(|folder| folder.modified()) else {
        return false;
    };
    let is_old = SystemTime::now().duration_since(changed).is_ok_and(|past| past >= age);
    is_old && File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
#[path = "scratch_tests.rs"]
mod tests;
