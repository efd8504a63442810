//! The processes of the test: what is done to them, and how they end.

use std::fs;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::child::{has_ended, is_held};
use crate::draw::{Drawn, Event, Moment, Reader};
use crate::place::Place;
use crate::rest::Long;

/// The interval at which everything is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The interval at which memory is sampled.
const MEMORY: Duration = Duration::from_millis(10);
/// The interval at which a process that was sent a signal is checked for being held by the kernel.
const HELD: Duration = Duration::from_millis(50);
/// How long a process may take that gets no signal: a busy host is slow.
const PROCESS_TIMEOUT: Duration = Duration::from_mins(3);
/// How long the test waits for a process after a signal. The process counts as late long before
/// that.
const LIMIT_AFTER: Duration = Duration::from_secs(20);
/// If the file that a signal waits for is not created, the signal is sent after this time.
const UNWRITTEN: Duration = Duration::from_secs(4);

/// A signal that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) signal: Signal,
    pub(crate) at: Instant,
    /// Whether the program had already installed its own handling of the signal.
    pub(crate) caught: bool,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) pid: u32,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Option<String>,
    pub(crate) stderr: Option<String>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) end: Instant,
    /// For how long after the first signal a thread could not end, whatever the signal: see
    /// [`is_held`].
    pub(crate) held: Duration,
    /// The state of its threads when it was killed because it had not ended in time.
    pub(crate) stuck: Option<String>,
    /// Its peak memory in KiB, sampled until at most [`MEMORY`] before its end.
    pub(crate) peak: u64,
}

impl Ending {
    /// The time from the first signal to the end, without the time for which the kernel held the
    /// process.
    pub(crate) fn after_signal(&self) -> Option<Duration> {
        let time = self.end.saturating_duration_since(self.sent.first()?.at);
        Some(time.saturating_sub(self.held))
    }

    /// Whether a signal killed it, so that it could not clean up.
    pub(crate) fn died(&self) -> bool {
        self.status.signal().is_some()
    }

    pub(crate) fn sent(&self, signal: Signal) -> bool {
        self.sent.iter().any(|sent| sent.signal == signal)
    }
}

/// A running process.
pub(crate) struct Process<'a> {
    child: Child,
    drawn: &'a Drawn,
    start: Instant,
    stdout: Output,
    stderr: Output,
    sent: Vec<Sent>,
    trigger: Option<Instant>,
    end: Option<Instant>,
    held: Duration,
    asked: Instant,
    stuck: Option<String>,
    peak: u64,
    looked: Instant,
}

/// The reading end of a standard stream.
enum Output {
    Read(Arc<Mutex<Vec<u8>>>, JoinHandle<()>),
    /// The stream is open and not read. It is closed after this time, if a time is given.
    Open(#[expect(dead_code, reason = "open is all it is")] PipeReader, Option<Duration>),
    Closed,
}

impl Output {
    fn new(reader: Reader) -> (Self, Stdio) {
        let (mut other, mut own) = pipe().expect("a pipe");
        let output = match reader {
            Reader::Reads => {
                let bytes = Arc::new(Mutex::new(Vec::new()));
                let kept = bytes.clone();
                let thread = thread::spawn(move || {
                    let mut buffer = [0; 16 << 10];
                    while let Ok(length @ 1..) = other.read(&mut buffer) {
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        kept.extend_from_slice(&buffer[..length]);
                    }
                });
                Self::Read(bytes, thread)
            }
            Reader::Gone => Self::Closed,
            Reader::Goes(after) => Self::Open(other, Some(after)),
            Reader::Stalls(bytes) => {
                own.write_all(&vec![b' '; bytes]).expect("a pipe takes 64 KiB");
                Self::Open(other, None)
            }
        };
        (output, own.into())
    }

    fn look(&mut self, since: Duration) {
        if matches!(self, Self::Open(_, Some(after)) if since >= *after) {
            *self = Self::Closed;
        }
    }

    /// The text that was read; `None` if the stream was not read. Doesn't wait any longer for a
    /// process that still has the stream open.
    fn text(self) -> Option<String> {
        let Self::Read(bytes, thread) = self else { return None };
        let start = Instant::now();
        while !thread.is_finished() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(POLL_INTERVAL);
        }
        let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl<'a> Process<'a> {
    pub(crate) fn start(mut command: Command, drawn: &'a Drawn) -> Self {
        let (stdout, own_stdout) = Output::new(drawn.stdout);
        let (stderr, own_stderr) = Output::new(drawn.stderr);
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").process_group(0);
        command.stdin(Stdio::null()).stdout(own_stdout).stderr(own_stderr);
        let child = command.spawn().expect("jitterbug starts");
        let start = Instant::now();
        Self {
            child,
            drawn,
            start,
            stdout,
            stderr,
            sent: Vec::new(),
            trigger: None,
            end: None,
            held: Duration::ZERO,
            asked: start,
            stuck: None,
            peak: 0,
            looked: start,
        }
    }

    fn signal(&mut self, signal: Signal) {
        let caught = is_caught(self.child.id(), signal);
        let at = Instant::now();
        // The process has not been waited for, so it still exists, if only as a zombie.
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it is our child");
        self.sent.push(Sent { signal, at, caught });
    }

    fn look(&mut self, place: &Place) {
        if self.end.is_some() {
            return;
        }
        if has_ended(self.child.id()) {
            self.end = Some(Instant::now());
            return;
        }
        let since = self.start.elapsed();
        self.stdout.look(since);
        self.stderr.look(since);
        if self.looked.elapsed() >= MEMORY {
            self.looked = Instant::now();
            self.peak = memory(self.child.id(), "VmHWM:").unwrap_or(0).max(self.peak);
        }
        self.send(place, since);
        if !self.sent.is_empty() && self.asked.elapsed() >= HELD {
            // The first time, the process counts as held since the signal, because no earlier check
            // was made.
            let time = self.asked.max(self.sent[0].at).elapsed();
            self.asked = Instant::now();
            if is_held(self.child.id()) {
                self.held += time;
            }
        }
        let late =
            self.sent.first().is_some_and(|sent| sent.at.elapsed() > LIMIT_AFTER + self.held);
        if (late || since > PROCESS_TIMEOUT + self.held) && self.stuck.is_none() {
            self.stuck = Some(threads(self.child.id()));
            kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).expect("our child");
        }
    }

    /// Sends the signals that are due.
    fn send(&mut self, place: &Place, since: Duration) {
        let wait = match self.drawn.moment {
            Moment::After(wait) => wait,
            Moment::Written(wait) => {
                if self.trigger.is_none() && (since > UNWRITTEN || !place.files().is_empty()) {
                    self.trigger = Some(Instant::now());
                }
                let Some(trigger) = self.trigger else { return };
                trigger - self.start + wait
            }
        };
        let (first, reproduce) = match self.drawn.event {
            Event::Nothing => return,
            Event::Kill => (Signal::SIGKILL, None),
            Event::Interrupt => (Signal::SIGINT, None),
            Event::Terminate => (Signal::SIGTERM, None),
            Event::Twice(gap) => (Signal::SIGINT, Some(gap)),
        };
        match (self.sent.as_slice(), reproduce) {
            ([], _) if since >= wait => self.signal(first),
            ([sent], Some(gap)) if sent.at.elapsed() >= gap => self.signal(first),
            _ => {}
        }
    }

    fn ending(mut self) -> Ending {
        let status = self.child.wait().expect("it has ended");
        Ending {
            pid: self.child.id(),
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            sent: self.sent,
            end: self.end.unwrap_or_else(Instant::now),
            held: self.held,
            stuck: self.stuck,
            peak: self.peak,
        }
    }
}

/// Runs all processes to their ends.
pub(crate) fn run(mut processes: Vec<Process>, place: &Place, long: &mut Long) -> Vec<Ending> {
    let start = Instant::now();
    let mut filled = false;
    while processes.iter().any(|process| process.end.is_none()) {
        for process in &mut processes {
            process.look(place);
        }
        if !filled && place.fills_after().is_some_and(|after| start.elapsed() >= after) {
            place.fill();
            filled = true;
        }
        long.look();
        thread::sleep(POLL_INTERVAL);
    }
    processes.into_iter().map(Process::ending).collect()
}

/// A value in KiB from `/proc/PID/status`.
pub(crate) fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// For each thread of a process: its name, its state, its system call, and its stack in the kernel.
fn threads(pid: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let threads = tasks.map(|task| {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
        let stack = read("stack").replace('\n', ", ");
        let (name, call) = (read("comm"), read("syscall"));
        format!("{}: {state}; system call {}; {stack}", name.trim(), call.trim())
    });
    let kernel = threads.collect::<Vec<_>>().join(" | ");
    // The program's own stacks, if a debugger is installed.
    let mut debugger = Command::new("gdb");
    debugger.args(["-batch", "-p", &pid.to_string(), "-ex", "thread apply all backtrace"]);
    let own = debugger.stdin(Stdio::null()).output().map(|output| output.stdout);
    format!("{kernel}\n{}", String::from_utf8_lossy(&own.unwrap_or_default()))
}

/// Whether the process handles this signal itself: its first thread then has the signal blocked.
/// While the process starts its writer thread, all signals are blocked for a moment; that doesn't
/// count.
fn is_caught(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let is_blocked = |signal: Signal| mask >> (signal as i32 - 1) & 1 == 1;
    is_blocked(signal) && !is_blocked(Signal::SIGALRM)
}
