//! A Unix socket in a file, at which `--ctl` and `--gdb` wait for clients.

use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::libc::sockaddr_un;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};

/// A listening socket, whose file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// The device and inode of the file.
    identity: (u64, u64),
}

impl Socket {
    /// Creates the socket for an option. A socket at which no program listens is left from a run
    /// that was killed, and is replaced. Nothing else is.
    pub(crate) fn create(option: &str, path: &Path) -> Result<Self> {
        let named = || format!("{option} {}", path.display());
        check_length(path).with_context(named)?;
        remove_stale(path).with_context(named)?;
        let problem = || format!("{}: the socket can't be made", named());
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

/// Fails if a socket can't have this path: the kernel keeps it in a field of fixed size
/// (`sun_path`, unix(7)).
pub(crate) fn check_length(path: &Path) -> Result<()> {
    // Its last byte is zero.
    const MAX: usize = size_of::<sockaddr_un>() - offset_of!(sockaddr_un, sun_path) - 1;
    let length = path.as_os_str().len();
    if length > MAX {
        bail!(
            "the path has {length} bytes, and the path of a socket has at most {MAX}: give a \
             shorter one, for example relative to the current folder"
        );
    }
    Ok(())
}

fn remove_stale(path: &Path) -> Result<()> {
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if !file.file_type().is_socket() {
        bail!("it exists and is no socket: give another name");
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("it can't be replaced")
        }
        Err(error) => bail!("it exists, and {error}: give another name"),
        Ok(_) => bail!("another program listens there: give another name"),
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
