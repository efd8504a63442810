use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::testing::{description, run};
use super::*;

type Worker<'a> = Box<dyn FnMut(Task) -> Result<Made, String> + 'a>;

/// Works on the campaign in a folder; `make` makes a run.
fn work_on(
    store: &mut Store,
    jobs: u32,
    make: &(impl Fn(Task) -> Result<Made, String> + Sync),
) -> Result<(Tally, Ended), Failed<String>> {
    let how = Work { jobs, build: "1" };
    work(store, how, || Ok(Box::new(make) as Worker), |_, _| {})
}

/// Runs of the second cell with an even seed fail.
fn a_run(task: Task) -> RunRecord {
    let fails = task.cell == 1 && task.seed.is_multiple_of(2);
    run(task.cell, task.seed, fails.then_some("hang"))
}

const MADE: fn(Task) -> Result<Made, String> = |task| Ok(Made::Run(a_run(task)));

fn seeds(store: &Store) -> BTreeSet<(usize, u64)> {
    let runs = store.runs().unwrap();
    let seeds: BTreeSet<_> = runs.iter().map(|run| (run.cell, run.seed)).collect();
    assert_eq!(seeds.len(), runs.len());
    seeds
}

#[test]
fn all_runs_are_made_once() {
    for jobs in [1, 4] {
        let folder = TempDir::new().unwrap();
        let mut store = Store::create(folder.path(), &description(50)).unwrap();
        let (tally, ended) = work_on(&mut store, jobs, &MADE).unwrap();
        assert_eq!((tally.runs, tally.failed, tally.left), (100, 25, 0));
        assert_eq!(ended, Ended::Complete);
        assert_eq!(seeds(&store).len(), 100);
    }
}

#[test]
fn an_interrupted_campaign_goes_on() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(50)).unwrap();
    let left = AtomicU64::new(30);
    let stopping = |task| match left.fetch_sub(1, Ordering::Relaxed) {
        1.. if left.load(Ordering::Relaxed) < 1000 => MADE(task),
        _ => Ok(Made::NotBegun),
    };
    let (tally, ended) = work_on(&mut store, 2, &stopping).unwrap();
    assert_eq!(ended, Ended::Interrupted);
    assert!(tally.runs > 0 && tally.runs < 100, "{tally:?}");
    let (again, ended) = work_on(&mut store, 2, &MADE).unwrap();
    assert_eq!((again.runs, again.now), (100, 100 - tally.runs));
    assert_eq!(ended, Ended::Complete);
    let sessions: Vec<_> = store.sessions().unwrap().into_iter().map(|it| it.ended).collect();
    assert_eq!(sessions, [Some("interrupted".to_owned()), Some("complete".to_owned())]);
}

#[test]
fn runs_that_are_cut_short_are_counted() {
    let folder = TempDir::new().unwrap();
    let part = folder.path().join("part");
    let mut store = Store::create(&part, &description(50)).unwrap();
    let cutting = |task: Task| match task {
        Task { cell: 1, seed: 12.. } => Ok(Made::CutShort),
        _ => MADE(task),
    };
    for sessions in 1..=2 {
        let (_, ended) = work_on(&mut store, 1, &cutting).unwrap();
        assert_eq!(ended, Ended::Interrupted);
        let cells = Report::of(&store).unwrap().cells;
        assert_eq!((cells[0].cut_short, cells[1].cut_short), (0, sessions));
    }
    drop(store);
    let merged = merge(&[part], &folder.path().join("merged")).unwrap();
    assert_eq!(Report::of(&merged).unwrap().cells[1].cut_short, 2);
}

#[test]
fn an_error_ends_it_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(50)).unwrap();
    let failing = |task: Task| if task.seed == 20 { Err("broken".to_owned()) } else { MADE(task) };
    let failed = work_on(&mut store, 1, &failing);
    assert!(matches!(failed, Err(Failed::Run(problem)) if problem == "broken"));
    assert_eq!(seeds(&store).len(), 26, "the runs before it");
}

#[test]
fn merged_parts_are_the_whole() {
    let folder = TempDir::new().unwrap();
    let whole = folder.path().join("whole");
    let mut whole = Store::create(&whole, &description(9)).unwrap();
    work_on(&mut whole, 1, &MADE).unwrap();
    let mut parts = Vec::new();
    for number in 1..=4 {
        let part = folder.path().join(number.to_string());
        let shard: Shard = format!("{number}/4").parse().unwrap();
        let mut store = Store::create(&part, &Description { shard, ..description(9) }).unwrap();
        work_on(&mut store, 2, &MADE).unwrap();
        parts.push(part);
    }
    let merged = merge(&parts, &folder.path().join("merged")).unwrap();
    assert_eq!(merged.runs().unwrap(), whole.runs().unwrap());
    let figures = |store: &Store| {
        let report = Report::of(store).unwrap();
        format!("{:#?} {:#?} {:#?}", report.cells, report.kinds, report.factors)
    };
    assert_eq!(figures(&merged), figures(&whole));
    assert!(!Report::of(&merged).unwrap().is_incomplete());
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let folder = TempDir::new().unwrap();
    let make = |name: &str, description: &Description| {
        let path = folder.path().join(name);
        let mut store = Store::create(&path, description).unwrap();
        work_on(&mut store, 1, &MADE).unwrap();
        path
    };
    let (one, same) = (make("one", &description(2)), make("same", &description(2)));
    let image = Image { name: "hello".into(), hash: "3".into() };
    let other = make("other", &Description { images: vec![image], ..description(2) });
    let merged = |parts: &[&std::path::PathBuf]| {
        let parts: Vec<_> = parts.iter().map(|part| (*part).clone()).collect();
        merge(&parts, &folder.path().join("merged")).unwrap_err().to_string()
    };
    assert!(merged(&[&one, &same]).contains("seed 7 of `one`"));
    assert!(merged(&[&one, &other]).contains("hello has changed: XXH64 was 2, now it is 3"));
    assert!(!folder.path().join("merged").exists());
}

#[test]
fn nothing_is_left_of_a_merge_that_fails() {
    let folder = TempDir::new().unwrap();
    let [part, out] = ["part", "out"].map(|name| folder.path().join(name));
    drop(Store::create(&part, &description(2)).unwrap());
    let connection = rusqlite::Connection::open(part.join(FILE_NAME)).unwrap();
    connection.execute_batch("DROP TABLE sessions").unwrap();
    drop(connection);
    merge(&[part], &out).unwrap_err();
    assert!(!out.exists());
}

#[test]
fn a_report_ranks_factors_and_groups_failures() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(10)).unwrap();
    work_on(&mut store, 1, &MADE).unwrap();
    let report = Report::of(&store).unwrap();
    assert_eq!((report.asked, report.runs, report.failed), (20, 20, 5));
    let (one, two) = (&report.cells[0], &report.cells[1]);
    assert_eq!((one.rate.failed, one.rate.rate), (0, Some(0.0)));
    assert!(one.rate.below.is_some() && one.command.is_none());
    assert_eq!((two.rate.failed, two.median_failure_seconds), (5, Some(0.5)));
    assert_eq!(two.command.as_deref(), Some("jitterbug run two --cpus 2 --seed 8"));
    assert_eq!(report.kinds.len(), 1);
    assert_eq!(report.kinds[0].cells["two"], 5);
    assert_eq!(report.factors.len(), 2);
    assert!(report.factors.iter().all(|factor| factor.association.is_some()));
}
