//! A file that gets its name when it is complete.
//!
//! Until then it has no name (`O_TMPFILE`), so nothing is left of it, however the program ends.
//! Where the file system can't do that, it has a name that ends in `.part`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

/// An existing file is not overwritten: this number of alternative names is tried.
const MAX_NUMBER: u32 = 999;

/// A file that is being written.
pub(super) struct Pending {
    pub(super) file: File,
    /// Its name meanwhile, if it has one.
    part: Option<PathBuf>,
}

impl Pending {
    /// Creates a file that will be at `path`, or at `PATH.1` and so on.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let unnamed = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(folder);
        match unnamed {
            Ok(file) => Ok(Self { file, part: None }),
            Err(error) if can_have_a_name(&error) => {
                let part = with_suffix(path, &format!(".{}.part", std::process::id()));
                let file = OpenOptions::new().write(true).create_new(true).open(&part)?;
                Ok(Self { file, part: Some(part) })
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the complete file its name, and returns the name.
    pub(super) fn publish(self, path: &Path) -> io::Result<PathBuf> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        for number in 0..=MAX_NUMBER {
            let path = match number {
                0 => path.to_owned(),
                number => with_suffix(path, &format!(".{number}")),
            };
            let named = if let Some(part) = &self.part {
                fs::hard_link(part, &path)
            } else {
                let follow = AtFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, own.as_str(), AT_FDCWD, &path, follow).map_err(Errno::into)
            };
            match named {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("it is there, and so are .1 to .{MAX_NUMBER}")))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

/// Whether the file system, and not the folder, is the reason why there is no file without a name.
fn can_have_a_name(error: &io::Error) -> bool {
    // A kernel or a file system that doesn't know O_TMPFILE sees an attempt to write to a folder.
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
