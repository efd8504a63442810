//! Measures how often `hunt NAME --explain` names a pair that the catalogue knows, and how long it
//! takes.

use std::time::Instant;

use guests::Bug;
use serde_json::Value;

use crate::spawned::{FOUND, Scratch, jitterbug, report};
use crate::{Failure, Figures};

/// How many of ten explanations of a guest's failure should name one of its pairs.
const GOAL: u64 = 9;

/// Uses this number of seeds for each guest that has a bug.
pub(crate) fn measure(seeds: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let mut figures = Figures::default();
    figures.lines.push("| guest | right pair | cause shown | median | at most |".into());
    figures.lines.push("|---|---|---|---|---|".into());
    for guest in guests::catalogue() {
        let Some(bug) = &guest.bug else { continue };
        let (mut right, mut shown, mut times) = (0, 0, Vec::new());
        for seed in 1..=seeds {
            let start = Instant::now();
            let arguments = ["hunt", guest.name, "--explain", "--seed", &seed.to_string()];
            let output = jitterbug(&scratch.0, &arguments)?;
            times.push(start.elapsed().as_secs_f64());
            let report = report(&output, FOUND)?;
            let cause = &report["explanation"];
            shown += u64::from(cause["shown"] == true);
            right += u64::from(cause["shown"] == true && names_one(cause, bug));
        }
        times.sort_by(f64::total_cmp);
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        figures.lines.push(format!(
            "| `{}` | {right} of {seeds} | {shown} | {median:.1} s | {most:.1} s |",
            guest.name
        ));
        if right * 10 < seeds * GOAL {
            figures.broken.push(format!("{}: the right pair {right} times", guest.name));
        }
    }
    Ok(figures)
}

fn names_one(cause: &Value, bug: &Bug) -> bool {
    let pairs = cause["pairs"].as_array().map_or(&[][..], Vec::as_slice);
    pairs
        .iter()
        .any(|pair| bug.has_pair(|side, field| pair[side][field].as_str().unwrap_or_default()))
}
