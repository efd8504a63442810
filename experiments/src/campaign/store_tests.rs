use tempfile::TempDir;

use super::*;
use crate::campaign::testing::{description, run};

#[test]
fn what_is_recorded_is_read_again() {
    let folder = TempDir::new().unwrap();
    let description = description(3);
    let mut store = Store::create(folder.path(), &description).unwrap();
    let session = store.begin(description.shard, 2, "1.0").unwrap();
    let failed = RunRecord { report: Some("{}".into()), ..run(1, 7, Some("hang")) };
    let runs = [run(0, 7, None), failed, run(0, 8, None)];
    store.record(&runs, 3, Some((session, Duration::from_secs(2)))).unwrap();
    store.end(session, Duration::from_secs(3), "complete", &[0, 2]).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(format!("{:?}", store.description().unwrap()), format!("{description:?}"));
    let read: Vec<_> = store.runs().unwrap().iter().map(|run| (run.cell, run.seed)).collect();
    assert_eq!(read, [(0, 7), (0, 8), (1, 7)]);
    assert_eq!(store.kept().unwrap().len(), 1);
    assert_eq!(store.cut_short().unwrap(), [0, 2]);
    let sessions = store.sessions().unwrap();
    assert_eq!((sessions[0].seconds, sessions[0].ended.as_deref()), (3.0, Some("complete")));
    assert_eq!((&*sessions[0].build, sessions[0].runs), ("1.0", 3));
}

#[test]
fn the_runs_of_each_build_are_counted() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(9)).unwrap();
    for (build, seeds) in [("b", 1..3), ("idle", 0..0), ("a", 3..4), ("b", 4..7)] {
        let session = store.begin(Shard::ALL, 1, build).unwrap();
        let runs: Vec<_> = seeds.map(|seed| run(0, seed, None)).collect();
        store.record(&runs, 3, Some((session, Duration::ZERO))).unwrap();
    }
    let builds = crate::campaign::builds(&store.sessions().unwrap());
    assert_eq!(builds, [("b".to_owned(), 5), ("a".to_owned(), 1)]);
}

#[test]
fn a_batch_is_recorded_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(3)).unwrap();
    store.record(&[run(0, 1, None)], 3, None).unwrap();
    // A run that is there already.
    store.record(&[run(0, 2, None), run(0, 1, None)], 3, None).unwrap_err();
    assert_eq!(store.runs().unwrap().len(), 1);
}

#[test]
fn a_store_is_made_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let twice = [run(0, 1, None), run(0, 1, None)];
    let make = |runs: &[RunRecord]| {
        Store::create_with(folder.path(), &description(3), |it| insert_runs(it, runs, 3))
    };
    make(&twice).unwrap_err();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Content { .. })));
    assert_eq!(make(&twice[1..]).unwrap().runs().unwrap().len(), 1);
}

#[test]
fn only_some_reports_of_a_kind_are_kept() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(3)).unwrap();
    for seed in 0..9 {
        for kind in ["hang", "crash"] {
            let cell = usize::from(kind == "crash");
            let failed = RunRecord { report: Some("{}".into()), ..run(cell, seed, Some(kind)) };
            store.record(&[failed], 2, None).unwrap();
        }
    }
    let kept: Vec<_> = store.kept().unwrap().into_iter().map(|it| (it.kind, it.seed)).collect();
    let expected = [("hang", 0), ("hang", 1), ("crash", 0), ("crash", 1)];
    assert_eq!(kept, expected.map(|(kind, seed)| (kind.to_owned(), seed)));
}

#[test]
fn the_store_survives_power_loss_by_its_settings() {
    let folder = TempDir::new().unwrap();
    let store = Store::create(folder.path(), &description(3)).unwrap();
    let mode: String =
        store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    let synchronous: i64 =
        store.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!((&*mode, synchronous), ("wal", 2), "2 is FULL");
}

#[test]
fn one_process_works_on_a_campaign() {
    let folder = TempDir::new().unwrap();
    let _store = Store::create(folder.path(), &description(3)).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Busy { .. })));
    assert_eq!(Store::read(folder.path()).unwrap().runs().unwrap().len(), 0);
}

#[test]
fn other_folders_are_refused() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Missing { .. })));
    fs::write(folder.path().join(FILE_NAME), "no database at all, but long enough").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Database { .. })));
    fs::write(folder.path().join(FILE_NAME), "").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Content { .. })));
    // A campaign whose making was cut short is begun again.
    drop(Store::create(folder.path(), &description(3)).unwrap());
    let again = Store::create(folder.path(), &description(3));
    assert!(matches!(again, Err(StoreError::Exists { .. })));
}

/// Another process records a run between two reads.
#[test]
fn several_reads_are_of_one_moment() {
    let folder = TempDir::new().unwrap();
    let mut store = Store::create(folder.path(), &description(3)).unwrap();
    store.record(&[run(0, 1, None)], 3, None).unwrap();
    let reader = Store::read(folder.path()).unwrap();
    let count = |reader: &Store| reader.runs().map(|runs| runs.len());
    let (before, after) = reader
        .at_one_moment(|reader| {
            let before = count(reader)?;
            store.record(&[run(0, 2, None)], 3, None)?;
            Ok::<_, StoreError>((before, count(reader)?))
        })
        .unwrap();
    assert_eq!((before, after, count(&reader).unwrap()), (1, 1, 2));
}
