use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::campaign::testing::{description, run};
use crate::experiment::Limits;

/// The report of a campaign of two cells with ten runs each, of which these were made.
fn report(description: &Description, runs: &[RunRecord]) -> Report {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), description).unwrap();
    store.record(runs, 3, None).unwrap();
    Report::of(&store).unwrap()
}

fn limited(asked: u64, limits: Limits) -> Description {
    Description { limits, ..description(asked) }
}

#[test]
fn jitter_that_injects_nothing_is_told() {
    let text = "[machine]\nguest = \"hello\"\n[runs]\nper_cell = 1\n\
                [matrix]\njitter = [\"off\", \"boot\"]\n";
    let description = Description { file_text: text.into(), ..description(3) };
    let idle = |cell, seed| RunRecord { injections: 0, ..run(cell, seed, None) };
    let told = |runs: &[RunRecord]| {
        let cells = report(&description, runs).cells;
        cells.iter().map(|cell| cell.idle_jitter).collect::<Vec<_>>()
    };
    // The first cell has no jitter.
    assert_eq!(told(&[idle(0, 7), idle(1, 7)]), [false, true]);
    assert_eq!(told(&[idle(1, 7), run(1, 8, None)]), [false, false]);
    assert_eq!(told(&[idle(0, 7)]), [false, false], "no run of it");
}

#[test]
fn faults_are_summed_up() {
    let fault = |fault: &str, matched, struck| FaultRecord { fault: fault.into(), matched, struck };
    let with = |seed, [one, two]: [(u64, u64); 2]| RunRecord {
        faults: vec![fault("a", one.0, one.1), fault("b", two.0, two.1)],
        ..run(1, seed, None)
    };
    let runs = [run(0, 7, None), with(7, [(5, 2), (9, 0)]), with(8, [(1, 0), (9, 0)])];
    let cells = report(&description(3), &runs).cells;
    let sum = |fault: &str, matched, struck, runs| FaultReport {
        fault: fault.into(),
        matched,
        struck,
        runs,
    };
    assert!(cells[0].faults.is_empty());
    assert_eq!(cells[1].faults, [sum("a", 6, 2, 1), sum("b", 18, 0, 0)]);
}

#[test]
fn a_cell_has_stopped_only_if_runs_are_missing() {
    let runs = [run(0, 7, None), run(0, 8, Some("hang")), run(0, 9, Some("hang"))];
    let limits = Limits { failures_per_cell: Some(2), ..Limits::default() };
    for (asked, stopped) in [(3, false), (4, true)] {
        let cell = &report(&limited(asked, limits), &runs).cells[0];
        assert_eq!((cell.stopped, cell.rate.until_last), (stopped, Some(3)));
        assert_eq!(cell.rate.rate, Some(0.5));
    }
}

#[test]
fn a_budget_is_used_up() {
    let runs = [run(0, 7, None), run(1, 7, None)];
    for (limits, is_used_up) in [
        (Limits::default(), false),
        (Limits { runs: Some(3), ..Limits::default() }, false),
        (Limits { runs: Some(2), ..Limits::default() }, true),
        (Limits { time: Some(Duration::from_secs(9)), ..Limits::default() }, false),
    ] {
        assert_eq!(report(&limited(3, limits), &runs).budget_used_up, is_used_up, "{limits:?}");
    }
}
