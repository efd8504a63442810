//! The claim: a reader that stops reading stops no other part of the program. If the console,
//! scripts' lines, a report or a trace is not read, a signal and the time limit still end the run,
//! and what was not written is counted and reported. A slow reader loses nothing.

use std::io::{PipeReader, Read, Write, pipe};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;

use crate::harness::{Finished, Invocation, Running, jitterbug};
use crate::image;
use crate::scratch::Folder;

tests! {
    // A guest fills the pipes byte by byte, which takes minutes where an exit takes long.
    QuickKvm: signals_end_a_run_that_nobody_reads, so_does_the_time_limit, a_signal_behind_the_runs_end,
        scripts_that_nobody_reads, a_search_ends_in_time,
        a_report_that_nobody_reads, a_trace_that_nobody_reads, a_slow_reader_loses_nothing;
}

/// A guest that prints for ever.
fn chatty(folder: &Folder) -> Invocation {
    let guest = folder.file("chatty.elf", guests::case("chatty").expect("a case").image);
    jitterbug("run --cpus 1").arg(guest)
}

/// A stream that is not read; its other end stays open as long as the returned reader lives.
fn unread() -> (Stdio, PipeReader) {
    let (reader, writer) = pipe().expect("a pipe");
    (writer.into(), reader)
}

/// Prints a message on standard error when the guest prints no more: ticks continue while the guest
/// waits for its reader.
const STUCK: &str = r#"Out { printed++; }
    VMM10Hz /printed && printed == before && !said/ { said = 1; printf("it is stuck\n"); }
    VMM10Hz { before = printed; }"#;

fn is_stuck(running: &Running) {
    running.reports("it is stuck\n");
}

fn lost(run: Finished) {
    run.says(&[
        "jitterbug: standard output: ",
        " bytes were not written: nobody has read them in time",
    ]);
}

fn signals_end_a_run_that_nobody_reads() {
    let folder = Folder::new();
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (stdout, _reader) = unread();
        let running = chatty(&folder).probe(STUCK).stdout(stdout).start();
        is_stuck(&running);
        running.signal(signal);
        lost(running.ends_with(status).says(&["interrupted"]));
    }
}

fn so_does_the_time_limit() {
    let folder = Folder::new();
    let mut limits = [2, 8, 32].into_iter().map(|seconds| {
        let (stdout, _reader) = unread();
        let limit = format!("--timeout={seconds}s");
        chatty(&folder).arg(limit).probe(STUCK).stdout(stdout).within(60).ends_with(0)
    });
    // By then it has printed more than the pipe takes.
    let stuck =
        limits.find(|run| run.stderr.contains("it is stuck")).expect("it prints fast enough");
    lost(stuck.says(&["time limit reached"]));
}

/// The document of a search that ends by its time limit can't be written.
fn a_search_ends_in_time() {
    let (reader, mut writer) = pipe().expect("a pipe");
    let size = fcntl(&reader, FcntlArg::F_GETPIPE_SZ).expect("the size of a pipe");
    writer.write_all(&vec![b'x'; size as usize]).expect("it fits");
    let hunt = jitterbug("hunt tsc-sync-fixed --strategy random --time 1s --json");
    lost(hunt.stdout(writer).within(30).ends_with(0));
}

/// A signal that only ends the wait for a reader has not ended the run.
fn a_signal_behind_the_runs_end() {
    let guest = image::print_and_exit("fine\n", 0);
    let (mut filled, mut writer) = pipe().expect("a pipe");
    writer.write_all(&vec![b' '; 65_536]).expect("a pipe takes 64 KiB");
    let running = jitterbug("run").image(&guest).stdout(writer).start();
    running.reports("the guest ended the run: success");
    running.signal(Signal::SIGINT);
    lost(running.ends_with(0));
    filled.read_exact(&mut vec![0; 65_536]).expect("what was there before");
}

/// Standard error is used by the scripts alone.
fn scripts_that_nobody_reads() {
    let (stderr, mut reader) = unread();
    let running = jitterbug("run spin --cpus 2")
        .probe(r#"VMM:PROFILE:1msec { printf("%s\n", "a line that is long, so that it takes its room"); }"#)
        .stderr(stderr)
        .start();
    running.prints("spin: 2 vCPUs up\n");
    // This is the first page; the rest of the pipe's contents comes after it.
    reader.read_exact(&mut [0; 4096]).expect("lines");
    running.signal(Signal::SIGINT);
    running.ends_without_a_word(130);
}

fn a_report_that_nobody_reads() {
    let guest = image::print_and_exit("x".repeat(5000), 0);
    let (stdout, _reader) = unread();
    let running = jitterbug("run --repeat 20 --json").image(&guest).stdout(stdout).start();
    running.reports("jitterbug: 0 of 20 runs failed");
    running.signal(Signal::SIGINT);
    lost(running.ends_with(0));
}

fn a_trace_that_nobody_reads() {
    let folder = Folder::new();
    let fifo = folder.join("trace");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    // Opened for reading, so that it can be opened for writing.
    let _reader = std::fs::File::options().read(true).write(true).open(&fifo).expect("a fifo");
    let running = chatty(&folder).arg("--trace").arg(&fifo).start();
    // The trace up to this point doesn't fit into a pipe, so the guest soon waits.
    running.prints("line 5 ");
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130);
    run.says(&["--trace ", "trace: can't be written: ", "nobody has taken them in time"]);
}

fn a_slow_reader_loses_nothing() {
    const LENGTH: u32 = 200_000;
    let (stdout, mut reader) = unread();
    let running =
        jitterbug("run").image(&image::print_much(LENGTH)).probe(STUCK).stdout(stdout).start();
    is_stuck(&running);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).expect("bytes");
    assert_eq!(read.len(), LENGTH as usize + 1);
    assert!(read.ends_with(b"\0\n") && read.starts_with(&image::print_much(LENGTH).code));
    running.ends_with(0).says(&["the guest ended the run: success"]);
}
