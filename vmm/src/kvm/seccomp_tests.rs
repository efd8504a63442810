//! Each test starts this program again, for a child that a filter is to kill.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::{env, fs, thread};

use super::*;
use crate::kvm::seccomp::calls::Sysno;

const CHILD: &str = "JITTERBUG_SECCOMP_CHILD";

/// Runs a child, which does what it is told.
fn child(what: &str) -> Output {
    let program = env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "kvm::seccomp::tests::a_child", "--nocapture", "--test-threads", "1"]);
    command.env(CHILD, what).env("RUST_BACKTRACE", "1").output().unwrap()
}

/// What a child has said, which must have been killed for it.
fn killed(what: &str) -> String {
    let output = child(what);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{what}: {said}");
    assert!(!said.contains("still here"), "{what}: {said}");
    said
}

#[test]
fn a_child() {
    let Ok(what) = env::var(CHILD) else { return };
    let before = thread::Builder::new().name("before".into());
    let (go, waits) = std::sync::mpsc::channel::<()>();
    let socket = || drop(UdpSocket::bind("127.0.0.1:0"));
    let before = before.spawn(move || {
        if waits.recv().is_ok() {
            socket();
        }
    });
    assert!(confine().unwrap());
    let vcpu = |act: fn()| {
        let work = move || {
            confine_vcpu().unwrap();
            act();
        };
        thread::Builder::new().name("vcpu3".into()).spawn(work).unwrap().join().unwrap();
    };
    match what.as_str() {
        "nothing" => vcpu(|| drop(fs::File::open("/proc/self/stat").unwrap())),
        "panic" => {
            let vcpu = thread::spawn(|| {
                confine_vcpu().unwrap();
                panic!("a bug");
            });
            assert!(vcpu.join().is_err());
        }
        "socket" => socket(),
        "old thread" => {
            go.send(()).unwrap();
            before.unwrap().join().unwrap();
        }
        "process" => drop(Command::new("true").spawn()),
        // SAFETY: the request writes nothing: its pointer is null.
        "ioctl" => drop(unsafe { libc::ioctl(0, libc::TIOCGSID, 0) }),
        "executable" => executable(),
        "vcpu writes" => vcpu(|| drop(fs::write("/dev/null", "text"))),
        "vcpu thread" => vcpu(|| drop(thread::spawn(|| {}))),
        "vcpu ends the program" => vcpu(|| std::process::exit(7)),
        "vcpu ioctl" => vcpu(|| drop(crate::kvm::Host::open("/dev/kvm".as_ref()))),
        "other process" => drop(nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), None)),
        other => panic!("{other}"),
    }
    eprintln!("still here");
}

/// Maps executable memory.
fn executable() {
    let file = fs::File::open("/proc/self/exe").unwrap();
    // SAFETY: a new private mapping, which is not used.
    let page = unsafe {
        let (read, private) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        libc::mmap(std::ptr::null_mut(), 4096, read, private, file.as_raw_fd(), 0)
    };
    assert_ne!(page, libc::MAP_FAILED);
}

#[test]
fn what_is_allowed_goes_on() {
    for what in ["nothing", "panic"] {
        let output = child(what);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("still here"), "{what}: {said}");
        // The backtrace of a panic reads files.
        assert_eq!(what == "panic", said.contains("stack backtrace"), "{said}");
    }
    assert_eq!(child("vcpu ends the program").status.code(), Some(7));
}

#[test]
fn a_forbidden_call_kills_the_program_and_is_named() {
    let said = killed("socket");
    assert!(
        said.contains("jitterbug: the system call `socket` is forbidden in thread `"),
        "{said}"
    );
    assert!(said.contains("--no-seccomp"), "{said}");
    assert!(killed("ioctl").contains("`ioctl` with request 0x5429 is"), "{said}");
    assert!(killed("executable").contains("`mmap` is"));
    assert!(killed("other process").contains("`kill` is"));
}

#[test]
fn a_thread_that_was_there_before_is_confined_too() {
    assert!(killed("old thread").contains("`socket` is forbidden in thread `before`"));
}

/// The C library blocks all signals before it makes a process or a thread, and a blocked SIGSYS
/// kills without a message.
#[test]
fn no_process_can_be_started_and_a_vcpu_starts_no_thread() {
    for what in ["process", "vcpu thread"] {
        let output = child(what);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{what}: {said}");
        assert!(!said.contains("still here"), "{what}: {said}");
    }
}

#[test]
fn a_vcpu_can_do_less() {
    assert!(killed("vcpu writes").contains("`openat` is forbidden in thread `vcpu3`"));
    assert!(killed("vcpu ioctl").contains("`openat` is forbidden in thread `vcpu3`"));
}

#[test]
fn the_lists_are_in_order() {
    for filter in [Filter::All, Filter::Vcpu] {
        let list = calls::of(filter);
        assert_eq!(list[0].request, Some("KVM_RUN"));
        let mut unconditional = BTreeSet::new();
        let mut conditional = BTreeSet::new();
        for entry in &list {
            let kind = (entry.call, entry.argument.map(|it| (it.index, it.mask, it.value)));
            assert!(conditional.insert(kind), "{entry:?} is there twice");
            if entry.argument.is_none() {
                unconditional.insert(entry.call);
            }
        }
        // A call with conditions must not be allowed without them as well.
        let both = list.iter().find(|it| it.argument.is_some() && unconditional.contains(&it.call));
        assert_eq!(both, None);
        assert!(compile(filter).unwrap().len() < 4096);
    }
    let of_vcpus = calls::of(Filter::Vcpu);
    let all = calls::of(Filter::All);
    let is_known = |entry: &&Allowed| {
        all.iter().any(|it| {
            it.call == entry.call && (it.argument.is_none() || it.argument == entry.argument)
        })
    };
    assert_eq!(of_vcpus.iter().find(|entry| !is_known(entry)), None, "the other filter forbids it");
    for forbidden in [Sysno::execve, Sysno::socket, Sysno::ptrace, Sysno::fork, Sysno::bpf] {
        assert!(all.iter().all(|it| it.call != forbidden), "{forbidden}");
    }
}
