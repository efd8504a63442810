//! Compares the cost of hunts with that of another build of the program.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use guests::Oracle;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::spawned::{CLEAN, FOUND, Scratch, program};
use crate::{Failure, Figures};

/// The environment variable with the path of the other build.
const OTHER: &str = "JITTERBUG_OTHER";
/// The number of searches of each guest and build, in turns.
const ROUNDS: usize = 5;
/// The exit status of a build that doesn't know the guest.
const UNKNOWN: i32 = 2;
/// The maximum ratio of the processor time of a search to that of the other build, as the median
/// over all guests.
const GOAL: f64 = 1.05;

/// Makes searches of this number of runs, of each guest that has no bug or that hangs.
pub(crate) fn measure(runs: u64) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    let Some(other) = env::var_os(OTHER) else {
        figures.lines.push(format!("not measured: give another build of jitterbug in {OTHER}"));
        return Ok(figures);
    };
    let scratch = Scratch::new()?;
    figures.lines.push("| guest | this build | the other | ratio |".into());
    figures.lines.push("|---|---|---|---|".into());
    let mut ratios = Vec::new();
    let ends = guests::catalogue().iter().filter(|guest| !guest.endless);
    for guest in ends {
        let hangs = guest.bug.as_ref().is_some_and(|bug| bug.oracle == Oracle::Hang);
        if guest.bug.is_some() && !hangs {
            continue;
        }
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let (theirs, status) = search(Command::new(&other), guest.name, runs, &scratch.0)?;
            if status == Some(UNKNOWN) {
                break;
            }
            let (ours, _) = search(program(), guest.name, runs, &scratch.0)?;
            times.push((ours, theirs, ours / theirs));
        }
        if times.is_empty() {
            figures.lines.push(format!("| `{}` | | not there | |", guest.name));
            continue;
        }
        times.sort_by(|one, two| one.2.total_cmp(&two.2));
        let (ours, theirs, ratio) = times[ROUNDS / 2];
        let what = if hangs { ", hangs" } else { "" };
        figures
            .lines
            .push(format!("| `{}`{what} | {ours:.3} s | {theirs:.3} s | {ratio:.2} |", guest.name));
        // Guests that hang don't count, because builds may differ in how they handle hangs and
        // their files.
        if !hangs {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    figures.lines.push(format!(
        "processor time of {runs} runs each; the median of the ratios of those that don't hang is {median:.2} (goal: {GOAL})"
    ));
    if median > GOAL {
        figures
            .broken
            .push(format!("hunts take {median:.2} times as long as with the other build"));
    }
    Ok(figures)
}

/// Returns the processor time of a search in seconds, and its exit status.
fn search(
    mut program: Command,
    guest: &str,
    runs: u64,
    out: &Path,
) -> Result<(f64, Option<i32>), Failure> {
    let used = || -> Result<f64, Failure> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
    };
    let before = used()?;
    program.args([
        "hunt",
        guest,
        "--keep-going",
        "--strategy",
        "random",
        "--jobs",
        "1",
        "--runs",
        &runs.to_string(),
        "--out",
    ]);
    let status = program.arg(out).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !matches!(status.code(), Some(CLEAN | FOUND | UNKNOWN)) {
        return Err(format!("hunt {guest} ended with {status}").into());
    }
    Ok((used()? - before, status.code()))
}
