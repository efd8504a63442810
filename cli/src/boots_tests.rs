use super::{Boots, Keep, MAX_LISTED};
use crate::report::RunReport;

/// A run with a console of one MiB.
fn run(seed: u64, failed: bool) -> RunReport {
    RunReport::of(seed, failed, "x".repeat(1 << 20))
}

fn seeds(boots: &Boots) -> Vec<u64> {
    boots.reports.iter().map(RunReport::seed).collect()
}

#[test]
fn reports_are_kept_as_long_as_there_is_room_failures_for_longer() {
    let mut boots = Boots::new(Keep::All);
    (0..100).for_each(|seed| boots.add(run(seed, false)));
    let kept = boots.reports.len();
    assert!((60..64).contains(&kept), "{kept}");
    boots.add(run(100, true));
    (101..300).for_each(|seed| boots.add(run(seed, true)));
    assert!((120..128).contains(&boots.reports.len()), "{}", boots.reports.len());
    assert_eq!(seeds(&boots)[kept], 100, "the first failure found room");
    assert_eq!((boots.count, boots.failed), (300, 200));
    assert_eq!(boots.left_out, 300 - boots.reports.len() as u64);
    assert_eq!(boots.failures.len(), MAX_LISTED);
}

#[test]
fn without_a_report_only_the_first_failure_is_kept() {
    let mut boots = Boots::new(Keep::FirstFailure);
    for seed in 0..10 {
        boots.add(run(seed, seed % 4 == 3));
    }
    assert_eq!((seeds(&boots), boots.failed, boots.left_out), (vec![3], 2, 0));
}
