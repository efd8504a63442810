//! The tests start this program again, for a child that is confined: that can't be undone.

use std::process::Command;
use std::{env, fs, io, thread};

use vmm::signals::Second;

use super::*;
use crate::signals;

const CHILD: &str = "JITTERBUG_CONFINED_CHILD";

/// What a thread of a confined child can do in a folder: read the file that was named, the one that
/// was not, and make one.
type Done = [Result<(), io::ErrorKind>; 3];

fn act(folder: &Path) -> Done {
    let read = |name| fs::read(folder.join(name)).map(drop).map_err(|error| error.kind());
    let made = fs::write(folder.join("out/made"), "text").map_err(|error| error.kind());
    [read("named"), read("secret"), made]
}

#[test]
fn a_child() {
    let Some(folder) = env::var_os(CHILD) else { return };
    let folder = std::path::PathBuf::from(folder);
    let signals = signals::take(Second::Ends).unwrap();
    writer::begin();
    let args = ConfineArgs { no_seccomp: true, no_landlock: folder.join("free").exists() };
    let named = Files::none().read(folder.join("named")).make_in(folder.join("out"));
    files(&args, &named, &signals).unwrap();
    let there = || {
        let folder = folder.clone();
        move || act(&folder)
    };
    let all = [
        act(&folder),
        thread::spawn(there()).join().unwrap(),
        signals.on_thread(there()).unwrap(),
        writer::on_thread(there()).unwrap(),
    ];
    let expected = if args.no_landlock { Ok(()) } else { Err(io::ErrorKind::PermissionDenied) };
    for (thread, done) in all.into_iter().enumerate() {
        assert_eq!(done, [Ok(()), expected, Ok(())], "thread {thread}");
    }
    let connected = std::net::TcpStream::connect("127.0.0.1:9").map_err(|error| error.kind());
    let expected = if args.no_landlock {
        io::ErrorKind::ConnectionRefused
    } else {
        io::ErrorKind::PermissionDenied
    };
    assert_eq!(connected.err(), Some(expected));
    fs::write(folder.join("out/done"), "").unwrap();
}

/// Runs the child, which must come to its end.
fn child(is_free: bool) {
    if !Kernel::of_this_host().landlock {
        eprintln!("SKIPPED: this kernel has no landlock");
        return;
    }
    let name = format!("jitterbug-confined-{}-{is_free}", std::process::id());
    let folder = env::temp_dir().join(name);
    fs::create_dir_all(folder.join("out")).unwrap();
    for file in ["named", "secret"].into_iter().chain(is_free.then_some("free")) {
        fs::write(folder.join(file), "text").unwrap();
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "confine::tests::a_child", "--nocapture"]).env(CHILD, &folder);
    let output = command.output().unwrap();
    let done = folder.join("out/done").exists();
    fs::remove_dir_all(&folder).unwrap();
    assert!(done && output.status.success(), "{output:?}");
}

#[test]
fn no_thread_opens_a_file_that_was_not_named() {
    child(false);
}

#[test]
fn without_landlock_files_are_opened() {
    child(true);
}

#[test]
fn a_file_is_made_in_its_folder_and_a_device_is_itself() {
    let rights = |files: Files| {
        let rights: Vec<_> = files.rights().map(|(path, _)| path.to_owned()).collect();
        rights.last().cloned()
    };
    assert_eq!(rights(Files::none().output(Path::new("trace"))), Some(".".into()));
    assert_eq!(rights(Files::none().output(Path::new("a/trace"))), Some("a".into()));
    assert_eq!(rights(Files::none().output(Path::new("/dev/null"))), Some("/dev/null".into()));
    assert_eq!(Files::none().address(&"1234".parse().unwrap()).port(), Some(1234));
}
