//! The claim: a machine is examined and controlled while it runs, from outside, whatever its
//! clients do.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Finished, Invocation, Running, jitterbug};
use crate::image;
use crate::scratch::Folder;

tests! {
    Nothing: wrong_commands;
    Kvm: a_paused_guest_stands_still, a_paused_run_ends, an_nmi_reaches_the_guest,
        bad_clients_disturb_nothing, the_socket_is_the_users_own, a_dump_is_written;
    // The race has to show first, which takes minutes on a slow host.
    QuickKvm: a_hang_in_hand;
}

/// Sends a command.
pub(crate) fn ctl(socket: &Path, command: &str) -> Invocation {
    jitterbug("ctl").arg(socket).arg(command)
}

/// Sends a command that is done, and returns its answer.
pub(crate) fn answer(socket: &Path, command: &str) -> String {
    ctl(socket, command).ends_with(0).stdout
}

/// Starts a run with a control socket.
pub(crate) fn start(folder: &Folder, run: Invocation) -> (Running, PathBuf) {
    let socket = folder.join("ctl");
    let running = run.arg("--ctl").arg(&socket).start();
    running.does("the control socket", || UnixStream::connect(&socket).is_ok());
    (running, socket)
}

fn spin(cpus: u32) -> Invocation {
    jitterbug(&format!("run spin --cpus {cpus}"))
}

fn quit(running: Running, socket: &Path) -> Finished {
    assert_eq!(answer(socket, "quit"), "the run ends\n");
    let run = running.ends_with(130).says(&["interrupted"]);
    assert!(!socket.exists(), "{run}");
    run
}

fn wrong_commands() {
    let folder = Folder::new();
    let refused = |arguments: &str, says: &str| {
        let _ = jitterbug(arguments).ends_with(2).shows("").says(&[says]);
    };
    refused("ctl", "<SOCKET>");
    refused("ctl nowhere", "<COMMAND>");
    refused("ctl nowhere freeze", "freeze: no such command; `help` lists");
    refused("ctl nowhere nmi all", "nmi all: not the number of a vCPU");
    refused("ctl nowhere status", "nowhere: No such file");
    refused("run hello --ctl x --bed", "--ctl: not with --bed");
    refused("run hello --on-hang sync", "`sync` is none of stacks, nmi, dump=FILE");
    refused("run spin --on-hang nmi", "give --watchdog TIME");
    refused("run hello --on-hang dump=/nowhere/x", "no such folder");
    assert!(answer(&folder.join("any"), "help").contains("\ndump FILE "));
    let file = folder.file("file", "content");
    ctl(&file, "status").ends_with(2).says(&["no program listens there"]);
    jitterbug("run hello --ctl").arg(&file).ends_with(2).says(&["it exists and is no socket"]);
    assert_eq!(fs::read(&file).expect("the file"), b"content");
}

/// The guest prints all the time.
fn a_paused_guest_stands_still() {
    let folder = Folder::new();
    let run = jitterbug("run --cpus 2 --timeout 60s").image(&image::heartbeat());
    let (running, socket) = start(&folder, run);
    running.prints("\n\n");
    assert_eq!(answer(&socket, "pause"), "paused\n");
    assert_eq!(answer(&socket, "pause"), "it was paused already\n");
    let text = |status: &str| status.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let before = answer(&socket, "status");
    assert_eq!(text(&before)[..2], ["paused: `resume` ends that", "2 vCPUs"], "{before}");
    let printed = running.printed();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(running.printed(), printed);
    assert_eq!(text(&answer(&socket, "status")), text(&before), "no exit more");
    assert!(answer(&socket, "waits").contains("vCPU 1: not started: waits for its SIPI\n"));
    assert_eq!(answer(&socket, "resume"), "resumed\n");
    assert_eq!(answer(&socket, "resume"), "it was not paused\n");
    running.does("more output", || running.printed().len() > printed.len() + 2);
    quit(running, &socket);
}

fn a_paused_run_ends() {
    let folder = Folder::new();
    let (running, socket) = start(&folder, spin(1));
    answer(&socket, "pause");
    running.signal(Signal::SIGINT);
    running.ends_with(130);
    let (running, socket) = start(&folder, spin(1));
    answer(&socket, "pause");
    quit(running, &socket);
}

/// The guest prints any exception, and ends.
fn an_nmi_reaches_the_guest() {
    let folder = Folder::new();
    let (running, socket) = start(&folder, spin(2));
    running.prints("spin: 2 vCPUs up\n");
    ctl(&socket, "nmi 2").ends_with(2).says(&["nmi 2: the vCPUs are 0 to 1"]);
    assert_eq!(answer(&socket, "nmi 1"), "NMI sent to vCPU 1\n");
    let run = running.ends_with(1);
    assert!(run.stdout.contains("unexpected exception: vector 2"), "{run}");
    assert!(run.stdout.contains("cpu 1"), "{run}");
}

/// Without a watchdog, a run that hangs stays. Its stacks name both sides of the deadlock.
fn a_hang_in_hand() {
    let folder = Folder::new();
    let arguments = "run tsc-sync --jitter boot --watchdog off --until-failure";
    let (running, socket) = start(&folder, jitterbug(arguments).within(120));
    let both =
        |text: &str| text.contains("tsc_sync_master+") && text.contains("mp_startup_signal+");
    let waits = || ctl(&socket, "waits").any_status_and_output().1;
    running.does("the hang", || {
        let hung =
            |text: &str| both(text) && text.matches("; in this loop at 10 looks").count() >= 2;
        // Between two runs there is no machine. One that only passes by is elsewhere later.
        hung(&waits()) && {
            thread::sleep(Duration::from_millis(500));
            hung(&waits())
        }
    });
    let text = waits();
    assert!(
        text.contains("reads tsc_sync_go at")
            && text.contains("reads procset_slave at")
            && text.contains("interrupts off"),
        "{text}"
    );
    let stacks = answer(&socket, "stacks");
    assert!(both(&stacks) && stacks.contains("\n  mp_start_cpu_common+"), "{stacks}");
    quit(running, &socket);
}

fn bad_clients_disturb_nothing() {
    let folder = Folder::new();
    let (running, socket) = start(&folder, spin(2));
    running.prints("vCPUs up\n");
    let connect = || {
        let stream = UnixStream::connect(&socket).expect("the socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream
    };
    let talk = |bytes: &[u8]| {
        let mut stream = connect();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert_eq!(talk(b"\xff\xfe\n"), "usage: a line is not valid UTF-8\n");
    assert_eq!(
        talk(b"bogus\n\n"),
        "usage: bogus: no such command; `help` lists the commands\n\
         usage: no command; `help` lists the commands\n"
    );
    assert_eq!(talk(b"quit"), "", "a line that is not whole");
    let long = talk(&vec![b'x'; 100_000]);
    assert!(long.is_empty() || long == "usage: a line is too long\n", "{long}");
    assert!(
        talk(b"pause\nresume\nnmi 9\n").starts_with(" paused\nok\n resumed\nok\nusage: nmi 9:")
    );
    // Clients that say nothing, and one that never reads what it asked for.
    let idle: Vec<_> = (0..20).map(|_| connect()).collect();
    let mut deaf = connect();
    deaf.set_nonblocking(true).expect("nonblocking");
    while deaf.write(&b"stacks\n".repeat(100)).is_ok() {}
    for _ in 0..3 {
        assert!(answer(&socket, "stacks").contains("spin_inner+"));
    }
    // The second lot takes the places of clients that were just leaving.
    let mut clients: Vec<_> = (0..32).map(|_| connect()).collect();
    thread::sleep(Duration::from_millis(200));
    clients.extend((0..4).map(|_| connect()));
    let refused = ctl(&socket, "status").ends_with(1);
    refused.says(&["32 clients are connected: too many"]);
    drop((idle, deaf, clients));
    running.does("room", || ctl(&socket, "status").any_status_and_output().0 == 0);
    quit(running, &socket);
}

fn the_socket_is_the_users_own() {
    let folder = Folder::new();
    let (running, socket) = start(&folder, spin(1));
    let mode = fs::metadata(&socket).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = jitterbug("run hello --ctl").arg(&socket).ends_with(2);
    second.says(&["another program listens there"]);
    quit(running, &socket);
    // Left by a program that was killed.
    drop(UnixListener::bind(&socket).expect("a socket"));
    jitterbug("run hello --ctl").arg(&socket).ends_with(0);
    assert!(!socket.exists());
}

fn a_dump_is_written() {
    let folder = Folder::new();
    let (running, socket) = start(&folder, spin(2));
    running.prints("vCPUs up\n");
    let dump = folder.join("the dump");
    for name in ["the dump", "the dump.1"] {
        let said = answer(&socket, &format!("dump {}", dump.display()));
        let expected = format!("dumped to {} in ", folder.join(name).display());
        assert!(said.starts_with(&expected), "{said}");
    }
    assert!(fs::read(&dump).expect("the dump").starts_with(b"\x7fELF"));
    let failed = ctl(&socket, "dump /nowhere/at/all").ends_with(1);
    failed.says(&["the dump /nowhere/at/all can't be written: No such file or directory"]);
    assert!(answer(&socket, "status").contains("\nrunning\n"), "a failed dump ends no run");
    quit(running, &socket);
}
