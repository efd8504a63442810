//! How much memory a long search takes.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::spawned::{Scratch, count, program};
use crate::{Failure, Figures};

/// A guest without a bug, and with more interleavings than anybody can run.
const GUEST: &str = "lock-cycle-fixed";
/// What may be added between the first tenth of the time and the end: the hashes of the interleavings
/// that were seen and the tree of decisions have bounds (docs/hunt.md).
const MAY_GROW_KIB: u64 = 40 * 1024;
/// Between two looks.
const PERIOD: Duration = Duration::from_millis(100);

/// A search of so many runs.
pub(crate) fn measure(runs: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let mut command = program();
    command.args(["hunt", GUEST, "--json", "--runs", &runs.to_string(), "--out"]);
    command.arg(&scratch.0).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut resident = Vec::new();
    while child.try_wait()?.is_none() {
        // The process may have ended since.
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.id())) {
            resident.extend(kib(&status, "VmRSS:"));
        }
        thread::sleep(PERIOD);
    }
    let output = child.wait_with_output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    if count(&report, "runs")? != runs {
        return Err(format!("{} runs were made, not {runs}", report["runs"]).into());
    }
    let (Some(tenth), Some(end)) = (resident.get(resident.len() / 10), resident.last()) else {
        return Err("it was over before anybody could look".into());
    };
    let peak = resident.iter().max().unwrap_or(end);
    let mut figures = Figures::default();
    figures.lines.push(format!(
        "{GUEST}, {runs} runs, {} distinct: {tenth} KiB resident after a tenth of the time, {end} KiB at the \
         end, at most {peak} KiB",
        report["distinct"]
    ));
    if *end > tenth + MAY_GROW_KIB {
        figures.broken.push(format!("it has grown by {} KiB", end - tenth));
    }
    Ok(figures)
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
