use std::os::unix::fs::symlink;

use super::*;

/// A folder with a source file, and a secret beside it.
fn folders() -> (tempfile::TempDir, PathBuf) {
    let top = tempfile::tempdir().unwrap();
    let sources = top.path().join("sources");
    fs::create_dir_all(sources.join("kernel/.git")).unwrap();
    fs::write(sources.join("kernel/lock.c"), "a lock").unwrap();
    fs::write(sources.join("kernel/.git/config"), "secret").unwrap();
    fs::write(sources.join(".netrc"), "secret").unwrap();
    fs::write(top.path().join("secret"), "secret").unwrap();
    symlink(top.path().join("secret"), sources.join("link.c")).unwrap();
    (top, sources)
}

#[test]
fn a_file_in_the_folder_is_found_by_its_path_or_its_name() {
    let (_top, sources) = folders();
    let absolute = sources.join("kernel/lock.c");
    let whole = std::slice::from_ref(&sources);
    for file in ["kernel/lock.c", "kernel/../kernel/lock.c", absolute.to_str().unwrap()] {
        assert_eq!(read(file, whole).as_deref(), Some("a lock"), "{file}");
    }
    let inner = [sources.join("kernel")];
    assert_eq!(read("/another/place/lock.c", &inner).as_deref(), Some("a lock"));
    assert_eq!(read("lock.c", whole), None);
}

#[test]
fn an_image_cannot_name_a_file_elsewhere() {
    let (top, sources) = folders();
    let secret = top.path().join("secret");
    for file in [secret.to_str().unwrap(), "../secret", "kernel/../../secret", "link.c", "..", ""] {
        assert_eq!(read(file, std::slice::from_ref(&sources)), None, "{file}");
    }
    // The same file is read if the user names its folder.
    assert_eq!(read("secret", &[top.path().into()]).as_deref(), Some("secret"));
}

#[test]
fn an_image_cannot_name_a_hidden_file() {
    let (_top, sources) = folders();
    for file in [".netrc", "kernel/.git/config", "/another/place/.netrc"] {
        assert_eq!(read(file, std::slice::from_ref(&sources)), None, "{file}");
    }
    // A hidden folder that the user names is read.
    let hidden = [sources.join("kernel/.git")];
    assert_eq!(read("config", &hidden).as_deref(), Some("secret"));
}
