use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_there_stays_until_all_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    fs::write(&path, "old").unwrap();
    let part = Part::of(&path).unwrap();
    part.file().write_all(b"ne").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    part.file().write_all(b"w").unwrap();
    part.keep().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    // A temporary file that is given up leaves nothing behind.
    Part::of(&path).unwrap().file().write_all(b"x").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(names(folder.path()), ["report.html"]);
}

#[test]
fn links_and_permissions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    let part = Part::of(&link).unwrap();
    part.file().write_all(b"new").unwrap();
    part.keep().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = Part::of(&folder.path().join("none/file")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
