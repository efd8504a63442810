//! Measures the program itself, started as users start it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Failure, Figures};

/// The number of vCPUs of the machine in the bug report (illumos #1687).
const CPUS: &str = "6";
/// The maximum median time to the first proven hang.
const GOAL: Duration = Duration::from_secs(1);
/// A search that has not found the hang after this number of runs has failed.
const GIVE_UP: u64 = 5_000;

/// The program's exit statuses.
pub(crate) const CLEAN: i32 = 0;
pub(crate) const FOUND: i32 = 1;

/// A temporary directory, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("jitterbug-hunts-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in the directory for temporary files, so it does no harm if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes one search for each of this number of seeds.
pub(crate) fn first_hang(seeds: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let mut figures = Figures::default();
    let (mut times, mut runs) = (Vec::new(), Vec::new());
    for seed in 1..=seeds {
        let (report, time) = search(&scratch.0, seed)?;
        times.push(time);
        runs.push(count(&report, "runs")?);
    }
    times.sort_unstable();
    runs.sort_unstable();
    let median = times[times.len() / 2];
    let verdict = if median <= GOAL { "met" } else { "MISSED" };
    figures.lines.push(format!(
        "{seeds} seeds: a median of {:.3} s (goal: {:.0} s, {verdict}) and {} runs, at most {:.3} s and {} runs",
        median.as_secs_f64(),
        GOAL.as_secs_f64(),
        runs[runs.len() / 2],
        times[times.len() - 1].as_secs_f64(),
        runs[runs.len() - 1],
    ));
    Ok(figures)
}

/// Searches until the first proven hang. Returns the report, and the time from before the start of
/// the process until it has ended.
fn search(out: &Path, seed: u64) -> Result<(Value, Duration), Failure> {
    let (seed, runs) = (seed.to_string(), GIVE_UP.to_string());
    let start = Instant::now();
    let output =
        jitterbug(out, &["hunt", "tsc-sync", "--cpus", CPUS, "--seed", &seed, "--runs", &runs])?;
    let time = start.elapsed();
    let report = report(&output, FOUND)?;
    let verdict = &report["findings"][0]["finding"]["verdict"];
    if verdict != "proven hang" {
        return Err(format!("seed {seed} found {verdict} first").into());
    }
    Ok((report, time))
}

/// Makes this number of runs of the guest without the bug.
pub(crate) fn fixed(wanted: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let runs = wanted.to_string();
    let output = jitterbug(
        &scratch.0,
        &[
            "hunt",
            "tsc-sync-fixed",
            "--cpus",
            CPUS,
            "--jobs",
            "auto",
            "--keep-going",
            "--runs",
            &runs,
        ],
    )?;
    let report = report(&output, CLEAN)?;
    let (made, distinct) = (count(&report, "runs")?, count(&report, "distinct")?);
    if made != wanted {
        return Err(format!("{made} runs were made, not {wanted}").into());
    }
    let seconds = report["seconds"].as_f64().unwrap_or_default();
    let mut figures = Figures::default();
    figures.lines.push(format!("{made} runs, {distinct} different ones, {seconds:.1} s"));
    figures.zero(count(&report, "failed")?, "failed");
    figures.zero(count(&report, "cut_short")?, "cut short");
    Ok(figures)
}

/// Makes this number of replays of one finding.
pub(crate) fn replays(times: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let (found, _) = search(&scratch.0, 1)?;
    let file = found["findings"][0]["file"].as_str().ok_or("no finding was written")?;
    let mut different = 0;
    let start = Instant::now();
    for _ in 0..times {
        let status = program().args(["replay", file]).stderr(Stdio::null()).status()?;
        different += u64::from(status.code() != Some(CLEAN));
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut figures = Figures::default();
    figures.lines.push(format!("{} of {times} reproduced, {seconds:.1} s", times - different));
    figures.zero(different, "not reproduced");
    Ok(figures)
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitterbug"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs the program, which writes its findings to `out` and its report to stdout.
pub(crate) fn jitterbug(out: &Path, arguments: &[&str]) -> Result<Output, Failure> {
    let mut command = program();
    command.args(arguments).arg("--json").arg("--out").arg(out);
    Ok(command.stdout(Stdio::piped()).output()?)
}

/// The report of a search that should have ended with this status.
pub(crate) fn report(output: &Output, status: i32) -> Result<Value, Failure> {
    // An unexpected failure is in the report, too.
    if output.status.code() != Some(status) && output.stdout.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the program ended with {}: {said}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub(crate) fn count(report: &Value, field: &str) -> Result<u64, Failure> {
    Ok(report[field].as_u64().ok_or(format!("the report has no `{field}`"))?)
}
