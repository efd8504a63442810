use std::fs;

use devices::virtio::Action;

use super::super::perform;
use super::*;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

fn open(path: &Path, mode: DiskMode) -> Result<OpenDisk> {
    OpenDisk::open(&DiskConfig { path: path.into(), mode })
}

fn refusal(path: &Path, mode: DiskMode) -> String {
    let error = open(path, mode).err().unwrap();
    assert_eq!(error.class(), crate::ErrorClass::Input);
    error.to_string()
}

#[test]
fn a_disk_is_written_and_read() {
    let file = file(&[1; 2048]);
    let mut disk = open(file.path(), DiskMode::ReadWrite).unwrap();
    assert_eq!((disk.size, disk.read_only), (2048, false));
    for durable in [false, true] {
        let data = vec![2 + u8::from(durable); 512];
        let mut action = Action::Write { offset: 512, data: data.clone(), durable };
        perform(&mut *disk.storage, &mut action).unwrap();
        // What was written is in the file at once, whatever becomes of this process.
        assert_eq!(fs::read(file.path()).unwrap()[512..1024], data);
    }
    perform(&mut *disk.storage, &mut Action::Flush).unwrap();
    let mut read = Action::Read { offset: 0, data: vec![0; 1024] };
    perform(&mut *disk.storage, &mut read).unwrap();
    let expected = [[1; 512], [3; 512]].concat();
    assert_eq!(read, Action::Read { offset: 0, data: expected });
}

#[test]
fn a_file_that_becomes_shorter_fails() {
    let file = file(&[1; 1024]);
    let mut disk = open(file.path(), DiskMode::ReadOnly).unwrap();
    file.as_file().set_len(512).unwrap();
    assert!(disk.read_only && disk.storage.read(512, &mut [0; 512]).is_err());
    assert!(disk.storage.flush().is_ok());
    let damage = disk.storage.damage().unwrap();
    assert!(damage.contains("from 1024 to 512 bytes"), "{damage}");
}

#[test]
fn a_deleted_file_is_noticed_where_the_writes_are_lost() {
    for (mode, lost) in [(DiskMode::ReadWrite, true), (DiskMode::ReadOnly, false)] {
        let file = file(&[1; 1024]);
        let disk = open(file.path(), mode).unwrap();
        assert_eq!(disk.storage.damage(), None);
        drop(file);
        assert_eq!(disk.storage.damage().is_some(), lost);
    }
}

#[test]
fn one_machine_alone_writes_a_disk() {
    use DiskMode::{CopyOnWrite, ReadOnly, ReadWrite};
    let file = file(&[1; 512]);
    for (first, second, fits) in [
        (ReadWrite, ReadWrite, false),
        (ReadWrite, ReadOnly, false),
        (ReadWrite, CopyOnWrite, false),
        (ReadOnly, ReadWrite, false),
        (CopyOnWrite, ReadWrite, false),
        (ReadOnly, CopyOnWrite, true),
        (CopyOnWrite, CopyOnWrite, true),
    ] {
        let disk = open(file.path(), first).unwrap();
        let other = open(file.path(), second);
        assert_eq!(other.is_ok(), fits, "{first:?} {second:?}");
        drop(other);
        if !fits {
            let refusal = refusal(file.path(), second);
            assert!(refusal.contains("in use by another disk or process"), "{refusal}");
            assert!(refusal.contains(file.path().to_str().unwrap()), "{refusal}");
        }
        drop(disk);
        open(file.path(), ReadWrite).unwrap();
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let mode = DiskMode::ReadWrite;
    assert!(refusal(Path::new("/no/such/disk"), mode).contains("makes an empty disk"));
    assert!(refusal(Path::new("/tmp"), mode).contains("a file with the disk's bytes"));
    assert!(refusal(Path::new("/tmp"), DiskMode::ReadOnly).contains("not a regular file"));
    assert!(refusal(Path::new("/dev/null"), mode).contains("not a regular file"));
    for size in [0, 1, 511, 513] {
        let refusal = refusal(file(&vec![0; size]).path(), mode);
        let expected = format!("{size} bytes long: a disk has one or more whole sectors");
        assert!(refusal.contains(&expected), "{refusal}");
    }
}
