//! What lasts during the whole test: findings that are kept for later, and one long search.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use experiments::Finding;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::child::has_ended;
use crate::draw::Random;
use crate::place::Place;
use crate::process::memory;
use crate::status::Summary;

/// The maximum number of findings that are kept.
const MAX_KEPT_FINDINGS: usize = 40;

/// Findings of earlier searches.
pub(crate) struct Kept {
    pub(crate) program: PathBuf,
    pub(crate) folder: PathBuf,
    files: Vec<PathBuf>,
    next: u64,
}

impl Kept {
    pub(crate) fn new(program: &Path, root: &Path) -> Self {
        let folder = root.join("kept");
        fs::create_dir_all(&folder).expect("a folder for findings");
        let chatty = guests::case("chatty").expect("a case").image;
        fs::write(root.join("chatty.elf"), chatty).expect("a guest");
        Self { program: program.into(), folder, files: Vec::new(), next: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// A random finding; there must be at least one.
    pub(crate) fn one(&self, random: &mut Random) -> &Path {
        &self.files[random.below(self.files.len() as u64) as usize]
    }

    /// Keeps a finding of a place; if there are too many, another one is removed.
    pub(crate) fn take(&mut self, place: &Place, random: &mut Random) {
        let files: Vec<_> = place.files().into_iter().filter(|file| is_finding(file)).collect();
        if files.is_empty() {
            return;
        }
        let file = &files[random.below(files.len() as u64) as usize];
        // A damaged finding has been reported already; a finding with granularity `instruction`
        // can't be explained.
        if Finding::read(file).map_or(true, |finding| finding.machine.granularity != "watch") {
            return;
        }
        let copy = self.folder.join(format!("{}.finding", self.next));
        self.next += 1;
        fs::copy(file, &copy).expect("a copy");
        if self.files.len() == MAX_KEPT_FINDINGS {
            let at = random.below(MAX_KEPT_FINDINGS as u64) as usize;
            let _ = fs::remove_file(self.files.swap_remove(at));
        }
        self.files.push(copy);
    }

    /// Whether a finding is reproduced. This process gets no signal.
    pub(crate) fn replays(&self, file: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.arg("replay").arg(file).stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}

pub(crate) fn is_finding(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "finding")
}

/// The interval at which the long search's memory is sampled.
const MEMORY_SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// A search that runs during the whole test, of a guest that never fails.
pub(crate) struct Long {
    child: Child,
    start: Instant,
    log: PathBuf,
    /// The resident memory in KiB, at each [`MEMORY_SAMPLE_INTERVAL`].
    samples: Vec<u64>,
    next: Instant,
    ended: bool,
}

/// The result of the long search.
#[derive(Default)]
pub(crate) struct LongResult {
    pub(crate) samples: Vec<u64>,
    pub(crate) seconds: f64,
    pub(crate) runs: u64,
    /// How many of them were different.
    pub(crate) distinct: u64,
    pub(crate) end: Duration,
    pub(crate) problems: Vec<String>,
}

impl Long {
    /// Starts the search. If it is not ended before, it ends by itself ten minutes after `time`.
    pub(crate) fn start(program: &Path, root: &Path, time: Duration) -> Self {
        let log = root.join("long.log");
        let file = fs::File::create(&log).expect("a file for what it says");
        // setpriv (util-linux) has the kernel kill the search if this test is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command.args(["hunt", "aba-stack-fixed", "--out"]).arg(root.join("long"));
        command.arg("--time").arg(format!("{}s", time.as_secs() + 600));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("setpriv starts jitterbug");
        let start = Instant::now();
        Self {
            child,
            start,
            log,
            samples: Vec::new(),
            next: start + MEMORY_SAMPLE_INTERVAL,
            ended: false,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn look(&mut self) {
        if Instant::now() < self.next || self.ended {
            return;
        }
        self.next += MEMORY_SAMPLE_INTERVAL;
        self.ended = has_ended(self.pid());
        self.samples.extend(memory(self.pid(), "VmRSS:"));
    }

    /// Ends the search by SIGINT.
    pub(crate) fn end(mut self) -> LongResult {
        let mut problems = Vec::new();
        if has_ended(self.pid()) {
            problems.push("the long search ended before its time".into());
        }
        let (seconds, signal) = (self.start.elapsed().as_secs_f64(), Instant::now());
        kill(Pid::from_raw(self.pid() as i32), Signal::SIGINT).expect("our child");
        let status = self.child.wait().expect("our child");
        let end = signal.elapsed();
        if status.code() != Some(130) {
            problems.push(format!("the long search: {status} instead of 130"));
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let summary = Summary::of(&said);
        if summary.as_ref().is_none_or(|summary| summary.failed > 0 || !summary.interrupted) {
            problems.push(format!("the long search said: {said}"));
        }
        let (runs, distinct) = summary.map_or((0, 0), |summary| (summary.runs, summary.distinct));
        LongResult { samples: self.samples, seconds, runs, distinct, end, problems }
    }
}
