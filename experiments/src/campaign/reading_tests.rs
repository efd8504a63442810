use tempfile::TempDir;

use super::*;
use crate::campaign::Store;
use crate::campaign::testing::{description, run};

/// As in a folder that can't be written, which the tests can't make for root.
fn open_immutable(folder: &Path) -> i64 {
    let connection = connect(&immutable(&folder.join(FILE_NAME)), OpenFlags::SQLITE_OPEN_URI);
    let count = |connection: Connection| {
        connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))
    };
    connection.and_then(count).unwrap()
}

#[test]
fn a_name_of_any_bytes_is_found() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("a b?c#d%20é&=");
    let mut store = Store::create(&folder, &description(3)).unwrap();
    store.record(&[run(0, 1, None)], 3, None).unwrap();
    drop(store);
    assert_eq!(open_immutable(&folder), 1);
    // The log is gone when the last one has closed the database, and nothing new is made.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn two_may_read_and_nobody_works_meanwhile() {
    let folder = TempDir::new().unwrap();
    assert!(lock_shared(folder.path()).unwrap().is_none());
    let store = Store::create(folder.path(), &description(3)).unwrap();
    assert!(matches!(lock_shared(folder.path()), Err(StoreError::Busy { .. })));
    drop(store);
    let (one, two) = (lock_shared(folder.path()).unwrap(), lock_shared(folder.path()).unwrap());
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Busy { .. })));
    drop((one, two));
    Store::open(folder.path()).unwrap();
}
