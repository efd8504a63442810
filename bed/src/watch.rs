//! A job from the start of the machine to its power-off.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{At, Error, Result};
use crate::initramfs::Initramfs;
use crate::job::Job;
use crate::parts::Parts;
use crate::ports::{self, Tail};
use crate::{qemu, results, tool};

const POLL: Duration = Duration::from_millis(10);
/// It boots in 5 s; a machine with much else to do may take longer.
const BOOT: Duration = Duration::from_secs(120);
/// How long a program may take to end after it was told to.
const GRACE: Duration = Duration::from_secs(20);
/// Lines of the console that are shown of a bed that broke.
const CONSOLE: usize = 30;

/// Runs a job and returns the program's exit status (128 + n if signal n ended it). Its output goes
/// to our own, our input to it. When `stop` says so, the program gets SIGTERM; a second time, or
/// after a while, the bed is switched off.
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
        ports::pump(io::stdin(), feed);
        // Half of it, so that what is on the way arrives before the end does.
        let _ = input.shutdown(Shutdown::Write);
    });
    let files = Arc::new(Mutex::new(Vec::new()));
    let kept = files.clone();
    let pumps = [
        thread::spawn(|| ports::pump(output, io::stdout())),
        thread::spawn(|| ports::pump(errors, io::stderr())),
        thread::spawn(move || ports::pump(archive, Shared(kept))),
    ];
    let status = machine.watch(&control, job.limit, start, stop)?;
    for pump in pumps {
        let _ = pump.join();
    }
    if let Some(folder) = &job.results {
        let files = files.lock().unwrap_or_else(PoisonError::into_inner);
        results::unpack(&files, folder)?;
    }
    Ok(status)
}

/// Everything that goes into the machine.
fn pack(parts: &Parts, job: &Job) -> Result<Initramfs> {
    let mut inside = Initramfs::default();
    for folder in ["/bin", "/dev", "/proc", "/sys", "/bed"] {
        inside.folder(Path::new(folder))?;
    }
    inside.scratch(Path::new("/tmp"))?;
    inside.folder(&job.folder)?;
    for file in job.files.iter().chain([&job.program]) {
        inside.carry(file)?;
    }
    inside.copy(Path::new("/bin/busybox"), &parts.busybox(), 0o755)?;
    for module in parts.modules()? {
        let name = module.file_name().unwrap_or_default();
        inside.copy(&Path::new("/bed/modules").join(name), &module, 0o644)?;
    }
    inside.text(Path::new("/init"), include_str!("init.sh"), 0o755)?;
    inside.text(Path::new("/bed/job"), script(job), 0o644)?;
    let mut results = Vec::new();
    if let Some(folder) = &job.results {
        inside.folder(folder)?;
        results = folder.as_os_str().as_bytes().to_owned();
    }
    inside.text(Path::new("/bed/results"), results, 0o644)?;
    Ok(inside)
}

/// The job, for a shell.
fn script(job: &Job) -> Vec<u8> {
    let mut script = b"cd ".to_vec();
    script.extend(quoted(job.folder.as_os_str()));
    script.extend(b" || exit 127\n");
    for (name, value) in &job.environment {
        script.extend([b"export ", name.as_bytes(), b"="].concat());
        script.extend(quoted(value));
        script.push(b'\n');
    }
    script.extend(b"exec");
    let arguments = job.arguments.iter().map(|argument| argument.as_os_str());
    for word in std::iter::once(job.program.as_os_str()).chain(arguments) {
        script.push(b' ');
        script.extend(quoted(word));
    }
    script.push(b'\n');
    script
}

/// A word that a shell takes as it is.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word.as_bytes() {
        if byte == b'\'' { quoted.extend(br"'\''") } else { quoted.push(byte) }
    }
    quoted.push(b'\'');
    quoted
}

/// QEMU, running. It is gone when this goes.
struct Machine {
    qemu: Child,
    console: Tail,
    readers: Vec<JoinHandle<()>>,
}

impl Machine {
    fn start(parts: &Parts, archive: &Path, sockets: &Path) -> Result<Self> {
        let mut qemu = qemu::start(parts, archive, sockets)?;
        let console = Tail::default();
        let mut readers = Vec::new();
        if let Some(out) = qemu.stdout.take() {
            let to = console.clone();
            readers.push(thread::spawn(|| ports::pump(out, to)));
        }
        if let Some(errors) = qemu.stderr.take() {
            let to = console.clone();
            readers.push(thread::spawn(|| ports::pump(errors, to)));
        }
        Ok(Self { qemu, console, readers })
    }

    /// Waits for QEMU to come to a socket.
    fn accept(
        &mut self,
        listener: &std::os::unix::net::UnixListener,
        start: Instant,
    ) -> Result<UnixStream> {
        while self.runs() {
            if let Some(stream) = ports::accept(listener).at(Path::new("a port's socket"))? {
                return Ok(stream);
            }
            if start.elapsed() > BOOT {
                return Err(self.broken("doesn't start"));
            }
            thread::sleep(POLL);
        }
        Err(self.broken("ended at once"))
    }

    fn runs(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(None))
    }

    /// Watches the job until the machine has powered off.
    fn watch(
        &mut self,
        control: &UnixStream,
        limit: Option<Duration>,
        start: Instant,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<i32> {
        let said = Said::listen(control)?;
        let mut stopped: Option<Instant> = None;
        while self.runs() {
            let is_up = said.is_up();
            if !is_up && start.elapsed() > BOOT {
                return Err(self.broken(&format!("didn't boot within {BOOT:?}")));
            }
            if let Some(limit) = limit.filter(|limit| start.elapsed() > *limit) {
                return Err(self.broken(&format!("was not done within {limit:?}")));
            }
            if stop() {
                if !is_up {
                    return Err(Error::Interrupted);
                }
                if stopped.replace(Instant::now()).is_some() {
                    return Err(self.broken("was switched off"));
                }
                let mut control = control;
                let _ = control.write_all(b"TERM\n");
            }
            if stopped.is_some_and(|when| when.elapsed() > GRACE) {
                return Err(self.broken("had to be switched off: its program didn't end"));
            }
            thread::sleep(POLL);
        }
        let told = said.status();
        told.ok_or_else(|| self.broken("ended without a status of its program"))
    }

    /// The machine is of no more use; this is what it said.
    fn broken(&mut self, what: &str) -> Error {
        self.switch_off();
        let mut console = tool::tail(&self.console.text(), CONSOLE);
        if console.is_empty() {
            let _ = write!(console, "  (nothing)");
        }
        Error::Broken { what: what.to_owned(), console }
    }

    fn switch_off(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.switch_off();
    }
}

/// What has come through the control port.
struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Said {
    fn listen(control: &UnixStream) -> Result<Self> {
        let stream = control.try_clone().at(Path::new("the control port"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(io::Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Self { lines, reader })
    }

    fn is_up(&self) -> bool {
        !self.lines.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The program's exit status, when nothing more can come.
    fn status(self) -> Option<i32> {
        let _ = self.reader.join();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find_map(|line| line.strip_prefix("exit ")?.parse().ok())
    }
}

/// Bytes that two threads know.
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
