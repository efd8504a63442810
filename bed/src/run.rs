//! Runs a job, from the start of the machine to its power-off.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::error::{At, Result};
use crate::job::Job;
use crate::machine::Machine;
use crate::pack::pack;
use crate::parts::Parts;
use crate::{ports, results};

/// Runs a job and returns the program's exit status (128 + n if signal n ended it). The program's
/// output goes to this process's own output, and this process's input to the program. When `stop`
/// returns true, the program gets SIGTERM; the second time, or if the program doesn't end within
/// some time, the machine is switched off.
pub fn run(parts: &Parts, job: &Job, stop: &mut dyn FnMut() -> bool) -> Result<i32> {
    let scratch = tempfile::Builder::new().prefix("jitterbug-bed-").tempdir();
    let scratch = scratch.at(&std::env::temp_dir())?;
    let archive = scratch.path().join("initramfs");
    pack(parts, job)?.write(&archive)?;
    let start = Instant::now();
    let listeners = ports::listen(scratch.path())?;
    let mut machine = Machine::start(parts, &archive, scratch.path())?;
    let mut streams = Vec::new();
    for listener in &listeners {
        streams.push(machine.accept(listener, start)?);
    }
    let [input, output, errors, control, archive] = <[UnixStream; 5]>::try_from(streams)
        .map_err(|_| machine.broken("has not all of its ports"))?;
    let feed = input.try_clone().at(scratch.path())?;
    thread::spawn(move || {
        ports::pump(io::stdin(), &feed);
        // Only the sending half is closed: QEMU discards data in transit when the socket is closed
        // completely.
        let _ = feed.shutdown(Shutdown::Write);
    });
    let files = Arc::new(Mutex::new(Vec::new()));
    let kept = files.clone();
    let pumps = [
        thread::spawn(|| ports::pump(output, io::stdout())),
        thread::spawn(|| ports::pump(errors, io::stderr())),
        thread::spawn(move || ports::pump(archive, Shared(kept))),
    ];
    let status = machine.watch(&control, job.limit, start, stop)?;
    drop(input);
    for pump in pumps {
        let _ = pump.join();
    }
    if let Some(folder) = &job.results {
        let files = files.lock().unwrap_or_else(PoisonError::into_inner);
        results::unpack(&files, folder)?;
    }
    Ok(status)
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
