//! Measures how much memory long searches and many boots take.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::spawned::{Scratch, count, program};
use crate::{Failure, Figures};

/// A guest without a bug, and with more interleavings than a search can ever run.
const GUEST: &str = "lock-cycle-fixed";
/// The maximum growth between the first tenth of the time and the end: the hashes of interleavings
/// and the tree of decisions are bounded (docs/hunt.md).
const MAY_GROW_KIB: u64 = 40 * 1024;
/// The maximum growth over many boots, of which only sums are kept.
const BOOTS_MAY_GROW_KIB: u64 = 4 * 1024;
/// This number of runs of a search takes about as long as a boot.
const RUNS_OF_A_BOOT: u64 = 10;
/// The interval between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// Makes a search of this number of runs, and a tenth as many boots.
pub(crate) fn measure(runs: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let mut figures = Figures::default();
    let document = scratch.0.join("document");

    let mut command = program();
    command.args(["hunt", GUEST, "--json", "--runs", &runs.to_string(), "--out"]).arg(&scratch.0);
    command.stdout(File::create(&document)?).stderr(Stdio::null());
    let resident = Resident::of(command)?;
    let report: Value = serde_json::from_slice(&fs::read(&document)?)?;
    if count(&report, "runs")? != runs {
        return Err(format!("{} runs were made, not {runs}", report["runs"]).into());
    }
    let what = format!("hunt {GUEST}, {runs} runs, {} distinct", report["distinct"]);
    resident.tell(&what, MAY_GROW_KIB, &mut figures);

    let boots = runs / RUNS_OF_A_BOOT;
    let mut command = program();
    command.args(["run", "hello", "--cpus", "2", "--repeat", &boots.to_string()]);
    command.stdout(Stdio::null()).stderr(File::create(&document)?);
    let resident = Resident::of(command)?;
    let said = fs::read_to_string(&document)?;
    if !said.contains(&format!(" 0 of {boots} runs failed")) {
        return Err(format!("{boots} boots: {said}").into());
    }
    resident.tell(&format!("run hello, {boots} boots"), BOOTS_MAY_GROW_KIB, &mut figures);
    Ok(figures)
}

/// The resident memory of a process in KiB, at each [`SAMPLE_INTERVAL`].
struct Resident(Vec<u64>);

impl Resident {
    /// Runs a command to its end.
    fn of(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.spawn()?;
        let mut resident = Vec::new();
        while child.try_wait()?.is_none() {
            // The process may have ended since the check.
            if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.id())) {
                resident.extend(kib(&status, "VmRSS:"));
            }
            thread::sleep(SAMPLE_INTERVAL);
        }
        if resident.len() < 10 {
            return Err("it was over before anybody could look".into());
        }
        Ok(Self(resident))
    }

    fn tell(&self, what: &str, may_grow: u64, figures: &mut Figures) {
        let (tenth, end) = (self.0[self.0.len() / 10], self.0[self.0.len() - 1]);
        let peak = self.0.iter().max().unwrap_or(&end);
        figures.lines.push(format!(
            "{what}: {tenth} KiB resident after a tenth of the time, {end} KiB at the end, at most {peak} KiB"
        ));
        if end > tenth + may_grow {
            figures.broken.push(format!("{what}: it has grown by {} KiB", end - tenth));
        }
    }
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
