//! The claim: a file that is a FIFO or a device never holds the program. A FIFO that is read waits
//! for its writer until a signal comes, a FIFO that is written needs a reader, and a file without
//! an end is refused.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;

use crate::harness::jitterbug;
use crate::scratch::Folder;

tests! {
    Kvm: signals_end_a_wait_for_a_writer, a_fifo_is_read, a_fifo_needs_a_reader, a_fifo_is_written;
    Nothing: files_without_an_end;
}

fn fifo(folder: &Folder) -> PathBuf {
    let fifo = folder.join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    fifo
}

/// The arguments that name an input, without its name.
const INPUTS: [&str; 7] = [
    "run",
    "hunt",
    "replay",
    "explain",
    "run hello --symbols",
    "run hello --probe",
    "hunt abba --schedule",
];

fn signals_end_a_wait_for_a_writer() {
    let folder = Folder::new();
    let fifo = fifo(&folder);
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        for arguments in INPUTS {
            let at = if arguments.ends_with("--schedule") { "@" } else { "" };
            let running = jitterbug(arguments).arg(format!("{at}{}", fifo.display())).start();
            // This waits until the program has opened the FIFO, so that it handles signals.
            let writer = File::options().write(true).open(&fifo).expect("a FIFO");
            running.signal(signal);
            running.ends_with(status).shows("").says(&["fifo", "interrupted"]);
            drop(writer);
        }
    }
}

fn a_fifo_is_read() {
    let folder = Folder::new();
    let fifo = fifo(&folder);
    let running = jitterbug("run hello --probe").arg(&fifo).start();
    let mut writer = File::options().write(true).open(&fifo).expect("a FIFO");
    writer.write_all(b"VMMLoad { printf(\"from ").expect("a reader");
    writer.write_all(b"a FIFO\\n\"); }\n").expect("a reader");
    drop(writer);
    running.ends_with(0).says(&["from a FIFO\n"]);
    let script = "VMMLoad { printf(\"from a pipe\\n\"); }";
    // Where there is no udev, /dev/stdin is missing.
    let stdin = jitterbug("run hello --probe /proc/self/fd/0").input(script);
    stdin.ends_with(0).says(&["from a pipe\n"]);
}

fn a_fifo_needs_a_reader() {
    let folder = Folder::new();
    let fifo = fifo(&folder);
    for arguments in [
        "run hello --trace",
        "run hello --explain --html",
        "hunt abba --explain --html",
        "hunt abba --explain --trace",
    ] {
        let option = arguments.rsplit(' ').next().expect("an option");
        let refused = jitterbug(arguments).arg(&fifo).ends_with(2).shows("");
        refused.says(&[option, "fifo: can't be written: no process reads this FIFO"]);
    }
    jitterbug("run spin -e")
        .arg("VMM:PROFILE:10msec { hot[gueststack()]++; }")
        .arg(format!("--folded={}", fifo.display()))
        .ends_with(2)
        .shows("")
        .says(&["no process reads this FIFO"]);
}

fn a_fifo_is_written() {
    let folder = Folder::new();
    let fifo = fifo(&folder);
    // Opened for reading and writing, so that the other opens don't wait.
    let both = File::options().read(true).write(true).open(&fifo).expect("a FIFO");
    let mut reader = File::open(&fifo).expect("a FIFO");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let hunt = jitterbug("hunt abba --runs 500 --explain --out").arg(&*folder).arg("--html");
    hunt.arg(&fifo).within(60).ends_with(1);
    drop(both);
    let page = reader.join().expect("a reader").expect("a text");
    assert!(page.contains("</html>"), "{} bytes", page.len());
}

fn files_without_an_end() {
    for arguments in INPUTS {
        let at = if arguments.ends_with("--schedule") { "@" } else { "" };
        let refused = jitterbug(arguments).arg(format!("{at}/dev/zero")).within(60).ends_with(2);
        refused.shows("").says(&["/dev/zero", "it is longer than "]);
    }
}
