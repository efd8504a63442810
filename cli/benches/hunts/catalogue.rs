//! Measures how long plain `hunt NAME` takes for each bug of the catalogue.

use std::time::{Duration, Instant};

use crate::spawned::{FOUND, Scratch, count, jitterbug, report};
use crate::{Failure, Figures};

/// The maximum median over the seeds, and the maximum for any seed.
const GOALS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// A search that takes longer has failed.
const GIVE_UP: &str = "60s";

/// Uses this number of seeds for each guest that has a bug.
pub(crate) fn measure(seeds: u64) -> Result<Figures, Failure> {
    let scratch = Scratch::new()?;
    let mut figures = Figures::default();
    figures.lines.push("| guest | median | at most | runs: median | at most |".into());
    figures.lines.push("|---|---|---|---|---|".into());
    let mut missed = 0;
    for guest in guests::catalogue().iter().filter(|guest| guest.bug.is_some()) {
        let (mut times, mut runs) = (Vec::new(), Vec::new());
        for seed in 1..=seeds {
            let seed = seed.to_string();
            let start = Instant::now();
            let arguments = ["hunt", guest.name, "--seed", &seed, "--time", GIVE_UP];
            let output = jitterbug(&scratch.0, &arguments)?;
            times.push(start.elapsed());
            let report = report(&output, FOUND)?;
            if count(&report, "failed")? == 0 {
                figures.broken.push(format!("{}: not found by seed {seed}", guest.name));
            }
            runs.push(count(&report, "runs")?);
        }
        times.sort_unstable();
        runs.sort_unstable();
        let (middle, last) = (times.len() / 2, times.len() - 1);
        missed += u64::from(times[middle] > GOALS.0 || times[last] > GOALS.1);
        figures.lines.push(format!(
            "| `{}` | {:.2} s | {:.2} s | {} | {} |",
            guest.name,
            times[middle].as_secs_f64(),
            times[last].as_secs_f64(),
            runs[middle],
            runs[last]
        ));
    }
    figures.lines.push(format!(
        "{missed} guests miss a goal: a median of {:?}, at most {:?}",
        GOALS.0, GOALS.1
    ));
    Ok(figures)
}
