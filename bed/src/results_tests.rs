use std::io::Write;

use cpio::newc::{Builder, trailer};

use super::*;

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut writer =
            Builder::new(name).mode(0o100_644).write(&mut archive, content.len() as u32);
        writer.write_all(content).expect("room");
        writer.finish().expect("room");
    }
    trailer(archive).expect("room")
}

#[test]
fn files_come_out_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(&[("./a.finding", b"first"), ("./below/b", b""), ("c", &[7; 1000])]);
    assert_eq!(unpack(&archive, folder.path()).expect("files"), 3);
    assert_eq!(fs::read(folder.path().join("a.finding")).expect("a file"), b"first");
    assert_eq!(fs::read(folder.path().join("below/b")).expect("a file"), b"");
    assert_eq!(fs::read(folder.path().join("c")).expect("a file"), [7; 1000]);
}

#[test]
fn nothing_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(unpack(&[], folder.path()).expect("nothing"), 0);
    assert_eq!(unpack(&archive(&[]), folder.path()).expect("nothing"), 0);
}

#[test]
fn what_is_cut_short_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(&[("a", &[1; 100])]);
    for length in 1..archive.len() {
        // The trailer's name and padding are the last bytes: without them the archive has no end.
        if length < 110 + 4 + 100 + 120 {
            unpack(&archive[..length], folder.path()).expect_err("it is cut short");
        }
    }
}

#[test]
fn names_stay_in_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["../a", "/etc/passwd", "a/../../b"] {
        let error = unpack(&archive(&[(name, b"x")]), folder.path()).expect_err("outside");
        assert!(error.to_string().contains(name), "{error}");
    }
}
