//! The AMD host: QEMU without KVM, so that it is the same on every host. The program's streams are
//! virtio ports.

mod control;
mod ports;
mod start;

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{At, Error, Result};
use crate::job::{Ended, Limits};
use crate::machine::{Machine, POLL, Times};
use crate::streams::pump;
use crate::tool;
use control::ControlPort;

/// The program that emulates the machine.
const PROGRAM: &str = "qemu-system-x86_64";
/// The machine boots in 5 s; on a busy host it may take longer.
const BOOT_TIMEOUT: Duration = Duration::from_mins(2);

/// QEMU, which is the host's own: with its dependencies, it is too large to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Qemu(PathBuf);

impl Qemu {
    /// Finds QEMU.
    pub(crate) fn find() -> Result<Self> {
        tool::find(PROGRAM).map(Self).ok_or_else(|| Error::Missing {
            what: PROGRAM.into(),
            remedy: "apt-get install qemu-system-x86".into(),
        })
    }

    /// Runs a machine from its start to its power-off. `scratch` is a folder for the sockets.
    pub(crate) fn run(
        &self,
        kernel: &Path,
        initramfs: &Path,
        scratch: &Path,
        limits: &mut Limits,
    ) -> Result<Ended> {
        let start = Instant::now();
        let listeners = ports::listen(scratch)?;
        let mut machine = Machine::new(start::qemu(&self.0, kernel, initramfs, scratch)?);
        let mut streams = Vec::new();
        for listener in &listeners {
            streams.push(accept(&mut machine, listener, start)?);
        }
        let [input, output, errors, control, archive] = <[UnixStream; 5]>::try_from(streams)
            .map_err(|_| machine.broken("has not all of its ports"))?;
        let control = ControlPort::listen(control)?;
        let feed = input.try_clone().at(scratch)?;
        thread::spawn(move || {
            pump(io::stdin(), &feed);
            // Only the sending half is closed: QEMU discards data in transit when the socket is
            // closed completely.
            let _ = feed.shutdown(Shutdown::Write);
        });
        let files = Arc::new(Mutex::new(Vec::new()));
        let kept = files.clone();
        let pumps = [
            thread::spawn(|| pump(output, io::stdout())),
            thread::spawn(|| pump(errors, io::stderr())),
            thread::spawn(move || pump(archive, Shared(kept))),
        ];
        let times = Times { start, boot: BOOT_TIMEOUT, limit: limits.time };
        machine.watch(&control, times, limits.stop)?;
        let status = control.status();
        let status =
            status.ok_or_else(|| machine.broken("ended without a status of its program"))?;
        drop(input);
        for pump in pumps {
            let _ = pump.join();
        }
        let files = std::mem::take(&mut *files.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Ended { status, files })
    }
}

/// Waits until QEMU connects to a socket.
fn accept(machine: &mut Machine, listener: &UnixListener, start: Instant) -> Result<UnixStream> {
    while machine.runs() {
        if let Some(stream) = ports::accept(listener).at(Path::new("a port's socket"))? {
            return Ok(stream);
        }
        if start.elapsed() > BOOT_TIMEOUT {
            return Err(machine.broken("doesn't start"));
        }
        thread::sleep(POLL);
    }
    Err(machine.broken("ended at once"))
}

/// Bytes that two threads share.
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
