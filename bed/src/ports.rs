//! The streams between the test bed and the host: virtio ports inside, sockets outside.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
/// All ports. `init.sh` uses the same numbers.
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

/// Copies everything that arrives, without delay, until the end. A reader that has closed its end
/// doesn't stop the copying.
pub(crate) fn pump(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 16 * 1024];
    let mut open = true;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                open = open && to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_ok();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
}

/// Keeps the end of what is written to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    const LENGTH: usize = 8192;

    /// The bytes that are kept, as text.
    pub(crate) fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(Self::LENGTH);
        kept.drain(..surplus);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
