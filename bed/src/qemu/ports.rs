//! The streams between QEMU and the host: virtio ports inside, sockets outside.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::error::{At, Result};

/// The program's standard input.
pub(crate) const INPUT: u32 = 1;
/// The program's standard output.
pub(crate) const OUTPUT: u32 = 2;
/// The program's standard error.
pub(crate) const ERRORS: u32 = 3;
/// Lines of text: `ready` and `exit STATUS` come out, names of signals go in.
pub(crate) const CONTROL: u32 = 4;
/// The files that are carried out, as a cpio archive.
pub(crate) const RESULTS: u32 = 5;
/// All ports. `streams.sh` uses the same numbers.
pub(crate) const ALL: [u32; 5] = [INPUT, OUTPUT, ERRORS, CONTROL, RESULTS];

/// The path of a port's socket.
pub(crate) fn socket(folder: &Path, port: u32) -> PathBuf {
    folder.join(format!("port{port}"))
}

/// Creates the sockets of all ports, without waiting for connections.
pub(crate) fn listen(folder: &Path) -> Result<Vec<UnixListener>> {
    let listen = |port| {
        let path = socket(folder, port);
        let listener = UnixListener::bind(&path).at(&path)?;
        listener.set_nonblocking(true).at(&path)?;
        Ok(listener)
    };
    ALL.into_iter().map(listen).collect()
}

/// The connection to a socket, if QEMU has connected.
pub(crate) fn accept(listener: &UnixListener) -> io::Result<Option<UnixStream>> {
    match listener.accept() {
        Ok((stream, _)) => stream.set_nonblocking(false).map(|()| Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
