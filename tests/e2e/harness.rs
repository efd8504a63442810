//! Runs the program with a hard time limit, keeps its output, and makes the checks that every
//! invocation must pass.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::child;
use crate::image::Image;
use crate::needs::{self, Needs};
use crate::schema;
use crate::scratch::ScratchFile;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_jitterbug");

/// The default time limit of an invocation.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The additional time while the kernel holds a process.
const HELD: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(2);
/// Messages which say that something other than the guest ended a run.
const CUTS: &[&str] = &[
    "time limit reached",
    "interrupted",
    "a script stopped the run",
    "success: the console has",
    "failure: the console has",
];

/// A test in the list.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: fn(),
}

impl Test {
    /// The test's name, without the name of this program.
    pub(crate) fn name(&self) -> &'static str {
        self.name.trim_start_matches("e2e::")
    }
}

/// `tests![Kvm: one, another; Nothing: third]`: the tests of a file, and what they need.
macro_rules! tests {
    ($($need:ident: $($test:ident),+);+ $(;)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$($($crate::harness::Test {
            name: concat!(module_path!(), "::", stringify!($test)),
            needs: $crate::needs::Needs::$need,
            run: $test,
        }),+),+];
    };
}

/// Prepares an invocation; `arguments` are separated by spaces.
pub(crate) fn jitterbug(arguments: &str) -> Invocation {
    let mut command = Command::new(program());
    command.args(arguments.split_ascii_whitespace());
    Invocation::new(command)
}

/// The program, or what runs it in its place: `tests/calls` records the system calls.
fn program() -> OsString {
    env::var_os("JITTERBUG_E2E_PROGRAM").unwrap_or_else(|| PROGRAM.into())
}

/// Prepares an invocation under a shell's limits: `limits` is shell code that runs before it.
pub(crate) fn limited(limits: &str, arguments: &str) -> Invocation {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\"")).arg(PROGRAM);
    command.args(arguments.split_ascii_whitespace());
    Invocation::new(command)
}

/// An invocation that is being prepared.
pub(crate) struct Invocation {
    command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
    guest: Option<ScratchFile>,
}

impl Invocation {
    /// An invocation of any command that runs the program. Its input is empty.
    pub(crate) fn new(mut command: Command) -> Self {
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, input: None, limit: TIME_LIMIT, guest: None }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds the guest as an argument: a file that exists as long as the invocation.
    pub(crate) fn image(mut self, image: &Image) -> Self {
        let file = image.file();
        self.command.arg(&*file);
        self.guest = Some(file);
        self
    }

    /// Adds a script to run.
    pub(crate) fn probe(self, code: &str) -> Self {
        self.arg("-e").arg(code)
    }

    /// Sends bytes through a pipe to standard input, and then closes it.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self.stdin(Stdio::piped())
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Redirects standard error, which is then not checked.
    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Makes the program a process group of its own, as a shell does: only then can SIGTSTP stop
    /// it, wherever the tests are run from.
    pub(crate) fn in_own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Sets another time limit.
    pub(crate) fn within(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.input) {
            // If the program ends without reading all input, the pipe breaks.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        Running {
            shown,
            stdout: Stream::new(child.stdout.take()),
            stderr: Stream::new(child.stderr.take()),
            child,
            start: Instant::now(),
            limit: self.limit,
            used: None,
            _guest: self.guest,
        }
    }

    /// Runs until the program has reported this text this number of times, and then ends it by
    /// SIGINT.
    pub(crate) fn until_it_reports(self, text: &str, times: usize) -> Finished {
        let running = self.start();
        running.reports_often(text, times);
        running.signal(Signal::SIGINT);
        running.ends_with(130)
    }

    /// Runs to the end, which must have this exit status.
    pub(crate) fn ends_with(self, status: i32) -> Finished {
        self.start().ends_with(status)
    }

    /// Runs to the end and returns the status, as [`Self::any_status`], and the standard output.
    pub(crate) fn any_status_and_output(self) -> (i32, String) {
        let mut running = self.start();
        let status = running.wait().and_then(|status| status.code()).unwrap_or(-1);
        (status, running.printed())
    }

    /// Runs to the end and returns the status; -1 stands for a death by signal or by the time
    /// limit.
    pub(crate) fn any_status(self) -> i32 {
        self.start().wait().and_then(|status| status.code()).unwrap_or(-1)
    }
}

/// Output that is being collected.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn new(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = bytes.clone();
        let reader = pipe.map(|pipe| thread::spawn(move || collect(pipe, &kept)));
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn is_complete(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

fn collect(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..length]);
    }
}

/// The running program, which is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    shown: String,
    stdout: Stream,
    stderr: Stream,
    start: Instant,
    limit: Duration,
    /// The processor time that it used, once it has ended.
    used: Option<Duration>,
    _guest: Option<ScratchFile>,
}

impl Running {
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What is on its standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.stdout.text()
    }

    /// Waits until this text is on its standard output.
    pub(crate) fn prints(&self, text: &str) {
        self.wait_until(&format!("`{text}`"), || self.stdout.text().contains(text));
    }

    /// Waits until this text is on its standard error.
    pub(crate) fn reports(&self, text: &str) {
        self.reports_often(text, 1);
    }

    /// Waits until this text is on its standard error this number of times.
    pub(crate) fn reports_often(&self, text: &str, times: usize) {
        self.wait_until(&format!("`{text}` {times} times"), || self.reported(text) >= times);
    }

    /// Waits until this condition holds for its standard error.
    pub(crate) fn reports_that(&self, what: &str, holds: impl Fn(&str) -> bool) {
        self.wait_until(what, || holds(&self.stderr.text()));
    }

    /// How many times this text is on its standard error so far.
    pub(crate) fn reported(&self, text: &str) -> usize {
        self.stderr.text().matches(text).count()
    }

    /// Waits until it has used this much processor time, so that it is in the middle of its work.
    pub(crate) fn works_for(&self, time: Duration) {
        self.wait_until(&format!("{time:?} of work"), || self.processor_time() >= time);
    }

    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        while !holds() {
            assert!(!self.is_late(), "waited for {what}: {self}");
            thread::sleep(POLL);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id() as i32), signal).expect("it still runs");
    }

    /// Waits until it has been stopped by a signal.
    pub(crate) fn is_stopped(&self) {
        let folder = format!("/proc/{}", self.child.id());
        self.wait_until("the stop", || child::has_state(Path::new(&folder), 'T'));
    }

    /// Waits until something holds that the program does.
    pub(crate) fn does(&self, what: &str, holds: impl Fn() -> bool) {
        self.wait_until(what, holds);
    }

    /// The processor time that it has used so far, or in total if it has just ended.
    fn processor_time(&self) -> Duration {
        const TICKS: u64 = 100; // USER_HZ, the same on every x86 Linux
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).expect("nobody has waited for it yet");
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
        // utime and stime are fields 14 and 15; the name in parentheses is the second.
        Duration::from_millis((ticks(11) + ticks(12)) * 1000 / TICKS)
    }

    /// Whether the time limit has passed. Whether the host is slow is checked only then, because
    /// that takes a while.
    fn is_late(&self) -> bool {
        let elapsed = self.start.elapsed();
        if elapsed < self.limit || elapsed < self.limit * needs::patience() {
            return false;
        }
        elapsed >= self.limit * needs::patience() + HELD || !child::is_held(self.child.id())
    }

    /// Waits for the end; `None` if it didn't come in time.
    fn wait(&mut self) -> Option<ExitStatus> {
        while !self.is_late() {
            if self.used.is_none() && child::has_ended(self.child.id()) {
                self.used = Some(self.processor_time());
            }
            if self.used.is_some()
                && let Ok(Some(status)) = self.child.try_wait()
                && self.stdout.is_complete()
                && self.stderr.is_complete()
            {
                return Some(status);
            }
            thread::sleep(POLL);
        }
        None
    }

    /// Waits for the end with this status.
    pub(crate) fn ends_with(self, expected: i32) -> Finished {
        self.ends_with_any(&[expected]).1
    }

    /// Waits for the end with this status, if its output was not read.
    pub(crate) fn ends_without_a_word(mut self, expected: i32) {
        let Some(status) = self.wait() else { panic!("not over after {:?}: {self}", self.limit) };
        assert_eq!(status.code(), Some(expected), "{self}");
    }

    /// Waits until a signal kills it. Returns the signal's number.
    pub(crate) fn dies(mut self) -> Option<i32> {
        let Some(status) = self.wait() else { panic!("not over after {:?}: {self}", self.limit) };
        status.signal()
    }

    /// Waits for the end with one of these statuses, and makes the checks for every invocation.
    pub(crate) fn ends_with_any(mut self, expected: &[i32]) -> (i32, Finished) {
        let Some(status) = self.wait() else { panic!("not over after {:?}: {self}", self.limit) };
        let code = status.code().unwrap_or(-1);
        assert!(expected.contains(&code), "{status} instead of {expected:?}: {self}");
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        for sign in ["panicked", "RUST_BACKTRACE", "bug in jitterbug"] {
            assert!(!stderr.contains(sign), "a bug shows: {self}");
        }
        // If a run is ended from outside, the guest may be in the middle of a line.
        let cut = CUTS.iter().any(|cut| stderr.contains(cut));
        let whole = |text: &str| text.is_empty() || text.ends_with('\n');
        assert!(cut || whole(&stdout), "stdout is half-written: {self}");
        assert!(whole(&stderr), "stderr is half-written: {self}");
        let is_elsewhere = self.stderr.reader.is_none();
        assert!(code == 0 || is_elsewhere || !stderr.is_empty(), "it doesn't say why: {self}");
        let processor_time = self.used.unwrap_or_default();
        (code, Finished { shown: self.shown.clone(), stdout, stderr, processor_time })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.shown, &self.stdout.text(), &self.stderr.text())
    }
}

/// An invocation that has ended.
pub(crate) struct Finished {
    shown: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The processor time that it used in total.
    pub(crate) processor_time: Duration,
}

impl Finished {
    /// Requires that all of these texts are on standard error.
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "doesn't say `{text}`: {self}");
        }
        self
    }

    /// Requires that standard output is exactly this text.
    pub(crate) fn shows(self, stdout: &str) -> Self {
        assert_eq!(self.stdout, stdout, "{self}");
        self
    }

    /// Its standard output, which must be one JSON document that conforms to its schema.
    pub(crate) fn json(&self) -> Value {
        let document = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no JSON: {error}: {self}"));
        schema::check(&self.shown, &document);
        document
    }

    /// How long the run took, according to its own message.
    pub(crate) fn seconds(&self) -> f64 {
        let said = self.stderr.lines().find_map(|line| {
            let (_, figures) = line.strip_prefix("jitterbug: ")?.rsplit_once(" (")?;
            figures.split_once(" s, ")?.0.parse().ok()
        });
        said.unwrap_or_else(|| panic!("it doesn't say how long it took: {self}"))
    }

    /// The lines that scripts printed, or in general the rest of each line that begins with
    /// `before`.
    pub(crate) fn lines_with<'a>(&'a self, before: &'a str) -> impl Iterator<Item = &'a str> {
        self.stderr.lines().filter_map(move |line| line.strip_prefix(before))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.shown, &self.stdout, &self.stderr)
    }
}

fn show(f: &mut fmt::Formatter<'_>, what: &str, stdout: &str, stderr: &str) -> fmt::Result {
    write!(f, "\n{what}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
}
