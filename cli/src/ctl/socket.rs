//! The control socket's file.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};

/// A listening socket, whose file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// The device and inode of the file.
    identity: (u64, u64),
}

impl Socket {
    /// Creates the socket. A socket at which no program listens is left from a run that was killed,
    /// and is replaced. Nothing else is.
    pub(super) fn create(path: &Path) -> Result<Self> {
        remove_stale(path)?;
        let problem = || format!("--ctl {}: the socket can't be made", path.display());
        let listener = listen_at(path).with_context(problem)?;
        let file = fs::symlink_metadata(path).with_context(problem)?;
        Ok(Self { listener, path: path.to_owned(), identity: (file.dev(), file.ino()) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let file = fs::symlink_metadata(&self.path);
        if file.is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display();
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.with_context(|| format!("--ctl {shown}"))?,
    };
    if !file.file_type().is_socket() {
        bail!("--ctl {shown}: it exists and is no socket: give another name");
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("--ctl {shown}: it can't be replaced"))
        }
        Err(error) => bail!("--ctl {shown}: it exists, and {error}: give another name"),
        Ok(_) => bail!("--ctl {shown}: another program listens there: give another name"),
    }
}

/// Only the user may connect. The mode is set before the file is there: on Linux it gets the mode
/// of the socket, less the umask.
fn listen_at(path: &Path) -> nix::Result<UnixListener> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &address)?;
    listen(&fd, Backlog::new(64)?)?;
    Ok(UnixListener::from(fd))
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
