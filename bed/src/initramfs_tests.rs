use cpio::newc::Reader;

use super::*;

fn names(archive: &[u8]) -> Vec<(String, u32)> {
    let mut names = Vec::new();
    let mut rest = archive;
    loop {
        let reader = Reader::new(rest).expect("an entry");
        if reader.entry().is_trailer() {
            return names;
        }
        names.push((reader.entry().name().to_owned(), reader.entry().mode()));
        rest = reader.finish().expect("its end");
    }
}

fn written(initramfs: &Initramfs) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("archive");
    initramfs.write(&file).expect("an archive");
    fs::read(&file).expect("the archive")
}

#[test]
fn folders_come_before_what_is_in_them() {
    let mut initramfs = Initramfs::default();
    initramfs.text(Path::new("/b/c/d"), "x", 0o644).expect("a file");
    initramfs.scratch(Path::new("/tmp")).expect("a folder");
    initramfs.text(Path::new("/init"), "#!", 0o755).expect("a file");
    let expected = [
        ("b", 0o040_755),
        ("b/c", 0o040_755),
        ("b/c/d", 0o100_644),
        ("init", 0o100_755),
        ("tmp", 0o041_777),
    ];
    assert_eq!(names(&written(&initramfs)), expected.map(|(name, mode)| (name.to_owned(), mode)));
    assert_eq!(written(&initramfs), written(&initramfs));
}

#[test]
fn folders_are_carried_whole_and_keep_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("below")).expect("a folder");
    fs::write(folder.path().join("below/file"), "x").expect("a file");
    let mut initramfs = Initramfs::default();
    initramfs.carry(folder.path()).expect("it is there");
    let inside = format!("{}/below/file", folder.path().display());
    let names = names(&written(&initramfs));
    assert!(names.iter().any(|(name, _)| format!("/{name}") == inside), "{names:?}");
}

#[test]
fn what_is_not_there_cant_be_carried() {
    let error = Initramfs::default().carry(Path::new("/nonexistent")).expect_err("it isn't there");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

#[test]
fn a_full_disk_is_told_of_the_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, vec![1; 1 << 20]).expect("a file");
    let mut initramfs = Initramfs::default();
    initramfs.carry(&file).expect("it is there");
    let error = initramfs.write(Path::new("/dev/full")).expect_err("nothing can be written");
    assert!(error.to_string().contains("/dev/full"), "{error}");
}
