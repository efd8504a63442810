use super::*;

#[test]
fn the_status_is_behind_the_files() {
    let ended = parse(b"ready\n0707 exit 7\nexit 3\n").expect("a status");
    assert_eq!((ended.status, &*ended.files), (3, &b"0707 exit 7\n"[..]));
    let ended = parse(b"ready\nexit 137\n").expect("a status");
    assert_eq!((ended.status, &*ended.files), (137, &b""[..]));
}

#[test]
fn what_is_cut_short_is_no_status() {
    let whole = b"ready\n0707exit 12\n";
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_none(), "{length}");
    }
}

#[test]
fn a_file_is_followed_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    Port::Output.make(folder.path()).expect("a file");
    let has_ended = Arc::<AtomicBool>::default();
    let mut follow = Follow::port(Port::Output, folder.path(), has_ended.clone()).expect("a file");
    let reader = thread::spawn(move || io::read_to_string(&mut follow).expect("text"));
    fs::write(Port::Output.path(folder.path()), "first and last").expect("a file");
    has_ended.store(true, Ordering::Release);
    assert_eq!(reader.join().expect("a thread"), "first and last");
}
