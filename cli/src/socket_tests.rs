use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn only_the_user_can_connect_and_only_stale_sockets_are_replaced() {
    let folder = std::env::temp_dir().join(format!("jitterbug-ctl-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let first = Socket::create("--ctl", &path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = Socket::create("--ctl", &path).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("another program listens there"), "{error}");
    drop(first);
    assert!(!path.exists());

    // A listener that is dropped leaves its file.
    drop(UnixListener::bind(&path).unwrap());
    let second = Socket::create("--ctl", &path).unwrap();
    // The file of another socket is not removed.
    fs::rename(&path, folder.join("moved")).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(second);
    assert!(path.exists());
    drop(other);

    let file = folder.join("file");
    fs::write(&file, "content").unwrap();
    let error = Socket::create("--ctl", &file).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("is no socket"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"content");
    let long = folder.join("x".repeat(200));
    let error = format!("{:#}", Socket::create("--gdb", &long).unwrap_err());
    assert!(error.starts_with("--gdb /") && error.contains("has at most 107: give"), "{error}");
    let nowhere = Socket::create("--gdb", Path::new("/nowhere/socket")).unwrap_err();
    assert!(format!("{nowhere:#}").contains("/nowhere/socket: the socket can't be made"));
    fs::remove_dir_all(&folder).unwrap();
}
