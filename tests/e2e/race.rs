//! The main claim: boot jitter makes `tsc-sync` hang often, without jitter it hardly ever hangs,
//! and the fixed twin never hangs. The rates are printed. These tests run alone.

use serde_json::Value;

use crate::harness::jitterbug;

tests! {
    QuickKvm: boot_jitter_provokes_the_hang, the_fixed_twin_never_hangs;
}

/// The number of failed runs, and of all runs.
struct Rate {
    failed: usize,
    runs: usize,
}

impl Rate {
    /// Boots six vCPUs this number of times.
    fn of(guest: &str, jitter: &str, runs: usize, status: &[i32]) -> Self {
        let arguments =
            format!("run {guest} --cpus 6 --jitter {jitter} --repeat {runs} --watchdog 1s --json");
        let (code, output) = jitterbug(&arguments).within(180).start().ends_with_any(status);
        let report = output.json();
        let all = report["boots"].as_array().expect("a list of runs");
        assert_eq!(all.len(), runs, "{output}");
        let failed: Vec<&Value> = all.iter().filter(|run| run["failed"] == true).collect();
        for run in &failed {
            assert_eq!(run["result"], "hang", "it failed otherwise than expected: {run}");
        }
        assert_eq!(report["failed"], failed.len(), "{output}");
        assert_eq!(code, i32::from(!failed.is_empty()), "{output}");
        let rate = Self { failed: failed.len(), runs };
        eprintln!(
            "{guest}, 6 vCPUs, --jitter {jitter}: {} of {runs} runs hung, {:.0} %",
            rate.failed,
            100.0 * rate.failed as f64 / runs as f64
        );
        rate
    }
}

fn boot_jitter_provokes_the_hang() {
    let shaken = Rate::of("tsc-sync", "boot", 20, &[1]);
    assert!(shaken.failed >= 5, "too seldom: {} of {}", shaken.failed, shaken.runs);
    let left_alone = Rate::of("tsc-sync", "off", 50, &[0, 1]);
    // One is added to the number of failures, so that the comparison is also valid without any.
    assert!(
        shaken.failed * left_alone.runs >= 5 * (left_alone.failed + 1) * shaken.runs,
        "{} of {} is not five times as often as {} of {}",
        shaken.failed,
        shaken.runs,
        left_alone.failed,
        left_alone.runs
    );
}

fn the_fixed_twin_never_hangs() {
    // With a rate of 25 %, which is demanded above, one of a million such tests would see none.
    let rate = Rate::of("tsc-sync-fixed", "boot", 50, &[0]);
    assert_eq!(rate.failed, 0);
}
