//! The folders that output goes to. Some of them have a fault.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The fault of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    Sound,
    /// A disk with room for this number of small files.
    Full(u64),
    /// A disk that becomes full after this time.
    FillsUp(Duration),
    ReadOnly,
    /// The output files are `/dev/full`.
    DevFull,
}

/// The size of the smallest file on such a disk, in bytes.
const PAGE: u64 = 4096;
/// The size of such a disk, in bytes.
const DISK: u64 = 16 * PAGE;

/// A folder for output.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kind: PlaceKind,
    pub(crate) folder: PathBuf,
    /// Whether it is a mounted disk.
    mounted: bool,
}

impl Place {
    pub(crate) fn make(folder: &Path, kind: PlaceKind) -> Self {
        fs::create_dir_all(folder).expect("a folder for output");
        let mounted = match kind {
            PlaceKind::Full(room) => {
                let mounted = mount(folder, "rw");
                fill(folder, DISK - room * PAGE);
                mounted
            }
            PlaceKind::FillsUp(_) => mount(folder, "rw"),
            PlaceKind::ReadOnly => mount(folder, "ro"),
            PlaceKind::Sound | PlaceKind::DevFull => false,
        };
        let mut folder = folder.to_path_buf();
        if kind == PlaceKind::ReadOnly && !mounted {
            // In this folder no user can create a file, not even root.
            folder = PathBuf::from("/proc/sys");
        }
        Self { kind, folder, mounted }
    }

    /// The path for a file of this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        match self.kind {
            PlaceKind::DevFull => "/dev/full".into(),
            _ => self.folder.join(name),
        }
    }

    /// Whether output may fail here.
    pub(crate) fn is_bad(&self) -> bool {
        self.kind != PlaceKind::Sound
    }

    /// The fault, for the table.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            PlaceKind::Sound => "",
            PlaceKind::Full(_) => "a disk that is full or nearly full",
            PlaceKind::FillsUp(_) => "a disk that gets full meanwhile",
            PlaceKind::ReadOnly => "a read-only place",
            PlaceKind::DevFull => "traces and pages on `/dev/full`",
        }
    }

    /// The time after which the disk becomes full.
    pub(crate) fn fills_after(&self) -> Option<Duration> {
        match self.kind {
            PlaceKind::FillsUp(after) => Some(after),
            _ => None,
        }
    }

    pub(crate) fn fill(&self) {
        fill(&self.folder, DISK);
    }

    /// The paths of the files in the folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        if self.folder.starts_with("/proc") {
            return Vec::new();
        }
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.file_name().is_some_and(|name| name != FILLER)).collect()
    }

    /// Frees space on the disk for the checks.
    pub(crate) fn open_up(&self) {
        let _ = fs::remove_file(self.folder.join(FILLER));
    }

    pub(crate) fn remove(self) {
        if self.mounted {
            let unmounted = run("umount", &[self.folder.as_os_str()]);
            assert!(unmounted, "{}: can't be unmounted", self.folder.display());
        }
        if !self.folder.starts_with("/proc") {
            fs::remove_dir_all(&self.folder).expect("the folder goes");
        }
    }
}

/// The name of the file that fills the disk.
const FILLER: &str = "filler";

fn fill(folder: &Path, bytes: u64) {
    let Ok(mut file) = fs::File::create(folder.join(FILLER)) else { return };
    // Writing ends when the disk is full.
    for _ in 0..bytes / PAGE {
        if file.write_all(&[b'x'; PAGE as usize]).is_err() {
            return;
        }
    }
}

/// Whether this user may mount a disk.
pub(crate) fn can_mount(root: &Path) -> bool {
    let folder = root.join("mount");
    fs::create_dir_all(&folder).is_ok()
        && mount(&folder, "rw")
        && run("umount", &[folder.as_os_str()])
}

fn mount(folder: &Path, mode: &str) -> bool {
    let options = format!("{mode},size={DISK}");
    let words = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(std::ffi::OsStr::new);
    run("mount", &[&words[..], &[folder.as_os_str()]].concat())
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
