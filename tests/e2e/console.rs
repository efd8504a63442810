//! The claim: standard input reaches the guest's console from any kind of file, nothing is lost,
//! and no input or reader that is closed makes the program fail or spin.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Invocation, jitterbug};
use crate::image;
use crate::scratch::ScratchFile;
use crate::screen::Screen;

tests! {
    Kvm: a_pipe, a_regular_file, a_prompt_without_an_end, more_than_is_read_at_once, a_reader_who_goes_away, a_full_disk,
        no_stderr, binary_output, a_line_without_an_end_on_a_terminal, what_it_costs;
    QuickKvm: input_that_nobody_takes, an_end_of_input_is_no_work;
}

/// Each byte is at least one exit.
fn what_it_costs() {
    let run = jitterbug("run hello --cpus 2 -v").ends_with(0);
    run.says(&["the vCPUs' use of the console exits=", " time="]);
    let json = jitterbug("run hello --cpus 2 --json").ends_with(0).json();
    let boot = &json["boots"][0];
    let printed = boot["console"].as_str().expect("the console").len() as u64;
    let vcpus = boot["vcpus"].as_array().expect("the vCPUs");
    let uses = || vcpus.iter().map(|vcpu| &vcpu["console_use"]);
    let exits: u64 = uses().map(|console| console["exits"].as_u64().expect("a count")).sum();
    assert!(printed > 0 && exits >= printed, "{json}");
    assert!(uses().any(|console| console["seconds"].as_f64() > Some(0.0)), "{json}");
}

fn echo(bytes: usize) -> Invocation {
    jitterbug("run --timeout 60s").image(&image::echo(bytes as u32)).within(90)
}

/// A message after the guest's output begins on a new line.
fn a_line_without_an_end_on_a_terminal() {
    let guest = image::print_and_halt("up\nand no end").file();
    let mut screen = Screen::new();
    let run = jitterbug("run --ok end").arg(&*guest).stdout(screen.tty()).start();
    let shown = screen.rest();
    run.ends_with(0);
    assert_eq!(shown.join().unwrap(), "up\r\nand no end\r\n");
}

/// A program that drives the guest through pipes sees a prompt though its line has no end.
fn a_prompt_without_an_end() {
    let guest = image::print_and_halt("up\nlogin: ");
    let running = jitterbug("run --watchdog off").image(&guest).start();
    running.prints("login: ");
    running.signal(Signal::SIGINT);
    running.ends_with(130).shows("up\nlogin: ");
    // The answer to each byte comes before the next byte is sent.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let running = echo(3).stdin(Stdio::from(reader)).start();
    for (byte, so_far) in [(b"a", "a"), (b"b", "ab"), (b"\n", "ab\n")] {
        writer.write_all(byte).expect("a pipe takes a byte");
        running.prints(so_far);
    }
    running.ends_with(0).shows("ab\n");
}

fn a_pipe() {
    echo(2).input("x\n").ends_with(0).shows("x\n");
}

fn a_regular_file() {
    let file = ScratchFile::new("input", "from a file\n");
    echo(12).stdin(File::open(&*file).expect("the file")).ends_with(0).shows("from a file\n");
}

fn lines(count: usize) -> String {
    let lines: Vec<String> = (0..count).map(|number| format!("line {number:04}\n")).collect();
    lines.concat()
}

fn more_than_is_read_at_once() {
    let text = lines(500);
    echo(text.len()).input(text.clone()).ends_with(0).shows(&text);
    let file = ScratchFile::new("input", &text);
    echo(text.len()).stdin(File::open(&*file).expect("the file")).ends_with(0).shows(&text);
}

/// A guest that sleeps needs no processor time, whatever standard input is.
fn idles(invocation: Invocation) {
    let run = invocation.ends_with(0);
    let used = run.processor_time;
    assert!(used < Duration::from_millis(500), "{used:?} of 3 s: {run}");
}

fn sleeper() -> Invocation {
    jitterbug("run --watchdog off --timeout 3s").image(&image::halt())
}

fn input_that_nobody_takes() {
    idles(sleeper().input(lines(100_000)));
    let file = ScratchFile::new("input", lines(100_000));
    idles(sleeper().stdin(File::open(&*file).expect("the file")));
    idles(sleeper().stdin(File::open("/dev/zero").expect("/dev/zero")));
}

fn an_end_of_input_is_no_work() {
    idles(sleeper().stdin(Stdio::null()));
    idles(sleeper().input(""));
    let empty = ScratchFile::new("empty", "");
    idles(sleeper().stdin(File::open(&*empty).expect("the file")));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    // This is the writing end, which can't be read at all.
    idles(sleeper().stdin(Stdio::from(writer)));
}

fn a_reader_who_goes_away() {
    for arguments in ["run hello --cpus 6", "run hello --json", "run hello --repeat 2 --json"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        jitterbug(arguments).stdout(Stdio::from(writer)).ends_with(0);
    }
    // The reader closes the pipe during the run, and the guest goes on.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let running = jitterbug("run")
        .image(&image::heartbeat())
        .stdout(Stdio::from(writer))
        .probe(r#"Out { printf("beat\n"); }"#)
        .start();
    std::io::Read::read_exact(&mut reader, &mut [0]).expect("a first byte");
    drop(reader);
    running.reports_often("beat\n", running.reported("beat\n") + 5);
    running.signal(Signal::SIGINT);
    running.ends_with(130).says(&["interrupted"]);
}

fn a_full_disk() {
    for (arguments, code, status) in [("run", 0, 2), ("run", 5, 1)] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        jitterbug(arguments)
            .image(&image::print_and_exit(b"words\n", code))
            .stdout(full)
            .ends_with(status)
            .says(&["standard output: No space left", "console is incomplete"]);
    }
}

fn no_stderr() {
    for to in ["2>&-", "2>/dev/full"] {
        crate::harness::limited(&format!("exec {to}"), "run hello --jitter boot").ends_with(0);
    }
}

/// Bytes that are not UTF-8 are printed unchanged; in JSON they are replaced by U+FFFD.
fn binary_output() {
    let guest = image::print_and_exit(b"\xff\xc3\x28\n", 0);
    let run = jitterbug("run --json").image(&guest).ends_with(0);
    assert_eq!(run.json()["boots"][0]["console"], "\u{fffd}\u{fffd}(\n", "{run}");
}
