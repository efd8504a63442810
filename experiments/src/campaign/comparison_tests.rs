use tempfile::TempDir;

use super::*;
use crate::campaign::store::Store;
use crate::campaign::testing::{description, run};
use crate::experiment::Limits;

/// The report of a campaign of the cells `one` and `two`, with these numbers of failures and runs.
fn report(names: [&str; 2], cells: [(u64, u64); 2], most: Option<u64>) -> Report {
    let folder = TempDir::new().unwrap();
    let mut description = description(100);
    description.limits = Limits { failures_per_cell: most, ..Limits::default() };
    for (cell, name) in description.cells.iter_mut().zip(names) {
        cell.name = name.into();
    }
    let mut store = Store::create(folder.path(), &description).unwrap();
    for (cell, (failed, runs)) in cells.into_iter().enumerate() {
        let kind = |number| (number < failed).then_some("hang");
        let runs: Vec<_> = (0..runs).map(|number| run(cell, 7 + number, kind(number))).collect();
        store.record(&runs, 0, None).unwrap();
    }
    Report::of(&store).unwrap()
}

#[test]
fn cells_are_matched_by_their_names() {
    let first = report(["one", "two"], [(1, 20), (5, 20)], None);
    let second = report(["two", "three"], [(6, 20), (0, 20)], None);
    let compared = Comparison::of(&first, &second, false);
    assert_eq!(compared.unmatched, [vec!["one".to_owned()], vec!["three".to_owned()]]);
    let [row] = &*compared.rows else { panic!("{compared:#?}") };
    assert_eq!((&*row.name, row.rates[0].failed, row.rates[1].failed), ("two", 5, 6));
    assert_eq!((compared.compared(), compared.told()), (1, 0));
}

/// One of two tests with p = 0.047 tells nothing, but the test alone would.
#[test]
fn several_cells_are_corrected_for() {
    let names = ["one", "two"];
    let (first, second) =
        (report(names, [(0, 20), (0, 20)], None), report(names, [(5, 20), (1, 20)], None));
    let compared = Comparison::of(&first, &second, false);
    let difference = compared.rows[0].difference.unwrap();
    assert!(difference.p > 0.02 && difference.p < 0.05, "{difference:?}");
    assert_eq!((difference.adjusted_p, difference.told), (difference.p * 2.0, false));
    let whole = Comparison::of(&first, &second, true);
    let difference = whole.rows[0].difference.unwrap();
    assert_eq!((whole.rows[0].rates[1].runs, difference.told), (40, true), "{difference:?}");
    assert!(difference.low > 0.0 && difference.difference > 0.1, "{difference:?}");
}

#[test]
fn what_the_test_does_not_hold_for_is_not_compared() {
    let names = ["one", "two"];
    let first = report(names, [(2, 2), (0, 9)], Some(2));
    let second = report(names, [(0, 9), (0, 0)], None);
    let compared = Comparison::of(&first, &second, false);
    let why: Vec<_> = compared.rows.iter().map(|row| row.not_compared).collect();
    assert_eq!(why, [Some(NotCompared::Stopped), Some(NotCompared::NoRuns)]);
    assert!(compared.rows.iter().all(|row| row.difference.is_none()));
    let whole = Comparison::of(&first, &second, true);
    assert_eq!(whole.rows[0].not_compared, Some(NotCompared::Stopped));
}
