use super::*;

#[test]
fn a_folder_of_a_killed_run_is_removed_and_no_other() {
    let within = tempfile::tempdir().expect("a folder");
    let left_behind = within.path().join("jitterbug-bed-killed");
    let not_ours = within.path().join("other");
    for folder in [&left_behind, &not_ours] {
        fs::create_dir(folder).expect("a folder");
        fs::write(folder.join(LOCK), "").expect("a lock");
        fs::write(folder.join("initramfs"), "content").expect("a file");
    }
    let alive = Scratch::new(within.path()).expect("a folder");
    assert!(left_behind.exists(), "it may be one that is about to be locked");

    sweep(within.path(), Duration::ZERO);

    assert!(!left_behind.exists());
    assert!(not_ours.exists());
    assert!(alive.path().join(LOCK).exists());
    let path = alive.path().to_owned();
    drop(alive);
    assert!(!path.exists());
}
