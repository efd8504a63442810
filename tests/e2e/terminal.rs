//! The claim: a guest from a file gets each key that is typed, at once, and the terminal gets its
//! settings back, however the run ends. Elsewhere the terminal stays as it is.

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::termios::{FlowArg, tcflow};

use crate::harness::{Invocation, PROGRAM, Running, jitterbug, limited};
use crate::image;
use crate::screen::Screen;

tests! {
    Kvm: keys_go_to_the_guest, ctrl_a_x_ends_the_run, keys_that_are_left_unread, help_is_on_screen,
        signals_restore, a_death_by_a_signal_restores, an_error_restores, a_stop_restores,
        in_the_background, ctrl_c_with_the_catalogue, lines_if_the_user_says_so,
        lines_unless_it_is_on_a_terminal, raw_without_a_screen;
    // The second signal has to arrive within the second in which the first one ends the run.
    QuickKvm: the_second_sigint_ends_at_once;
}

/// What is said when raw mode begins.
const BEGIN: &str =
    "jitterbug: the keys go to the guest: Ctrl-A x ends the run, Ctrl-A h lists keys";
/// Two signals within 200 ms count as one.
const TWO_SIGNALS: Duration = Duration::from_millis(250);

/// Starts the program with this terminal as its standard input and output.
fn on(screen: &mut Screen, invocation: Invocation) -> Running {
    invocation.stdin(screen.shared_tty()).stdout(screen.tty()).start()
}

/// Starts a guest that reads keys and never ends; returns when the terminal is raw.
fn raw(screen: &mut Screen) -> Running {
    let guest = image::echo(u32::MAX);
    let running = on(screen, jitterbug("run").image(&guest).in_own_group());
    screen.wait_for(BEGIN);
    assert!(screen.is_raw());
    running
}

fn keys_go_to_the_guest() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let running = on(&mut screen, jitterbug("run").image(&image::echo(9)));
    screen.wait_for(BEGIN);
    // Ctrl-C, Ctrl-Z, Ctrl-D, Ctrl-\, Ctrl-S, backspace, Enter, Ctrl-A twice, and a letter.
    screen.type_in(b"\x03\x1a\x04\x1c\x13\x7f\r\x01\x01");
    screen.type_in(b"z");
    // The last line gets its end from jitterbug.
    let shown = screen.wait_for("z\r\n");
    assert_eq!(shown, format!("{BEGIN}\r\n\x03\x1a\x04\x1c\x13\x7f\r\x01z\r\n"));
    running.ends_with(0);
    assert_eq!(screen.settings(), before);
}

fn ctrl_a_x_ends_the_run() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let running = raw(&mut screen);
    screen.type_in(b"\x01");
    screen.type_in(b"x");
    running.ends_with(130).says(&["jitterbug: interrupted ("]);
    assert_eq!(screen.settings(), before);
}

/// What the guest leaves unread doesn't hide the keys for jitterbug.
fn keys_that_are_left_unread() {
    let mut screen = Screen::new();
    let running = on(&mut screen, jitterbug("run").image(&image::heartbeat()));
    screen.wait_for(BEGIN);
    // Keys that the program reads together with this one are not before it: a slow program reads
    // many at once.
    let reminder = "the guest has not read the keys before this Ctrl-C: Ctrl-A x ends the run";
    while !screen.shows(reminder, TWO_SIGNALS) {
        screen.type_in(b"\x03");
    }
    // At most a MiB is kept for the guest.
    for _ in 0..1100 {
        screen.type_in(&[b'k'; 1000]);
    }
    screen.type_in(b"\x01x");
    let shown = screen.rest();
    running.ends_with(130).says(&["the guest leaves 1048576 typed bytes unread: more are dropped"]);
    assert_eq!(shown.join().expect("the rest").matches("Ctrl-A").count(), 0, "it is said once");
}

fn help_is_on_screen() {
    let mut screen = Screen::new();
    let running = raw(&mut screen);
    screen.type_in(b"\x01?");
    let shown = screen.wait_for("also Ctrl-C, Ctrl-Z and Ctrl-D\r\n");
    assert!(shown.contains("\njitterbug: Ctrl-A x: end the run\r\n"), "{shown}");
    screen.type_in(b"\x01x");
    running.ends_with(130);
    // Messages are where a person reads them, which may be standard error.
    let (mut screen, mut other) = (Screen::new(), Screen::new());
    let invocation = jitterbug("run").image(&image::echo(1)).stderr(other.tty());
    let running = on(&mut screen, invocation);
    other.wait_for(BEGIN);
    screen.type_in(b"\n");
    running.ends_with(0);
    assert_eq!(screen.wait_for("\n"), "\r\n");
}

fn signals_restore() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let mut screen = Screen::new();
        let before = screen.settings();
        let running = raw(&mut screen);
        running.signal(signal);
        running.ends_with(status);
        assert_eq!(screen.settings(), before, "{signal}");
    }
}

fn a_death_by_a_signal_restores() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let running = raw(&mut screen);
    running.signal(Signal::SIGHUP);
    assert_eq!(running.dies(), Some(Signal::SIGHUP as i32));
    assert_eq!(screen.settings(), before);
}

/// The terminal takes no more output, so after the first SIGINT some waits.
fn the_second_sigint_ends_at_once() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let tty = screen.shared_tty();
    let running = on(&mut screen, jitterbug("run").image(&image::print_much(64 << 20)));
    screen.wait_for(BEGIN);
    assert!(screen.is_raw());
    tcflow(&tty, FlowArg::TCOOFF).expect("a terminal can be stopped");
    thread::sleep(TWO_SIGNALS);
    running.signal(Signal::SIGINT);
    running.does("the end of raw mode", || screen.settings() == before);
    thread::sleep(TWO_SIGNALS);
    running.signal(Signal::SIGINT);
    assert_eq!(running.dies(), Some(Signal::SIGINT as i32));
    assert_eq!(screen.settings(), before);
}

fn an_error_restores() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let guest = image::halt().file();
    let invocation = limited("ulimit -n 40", "run --cpus 64").arg(&*guest);
    let running = on(&mut screen, invocation);
    screen.wait_for(BEGIN);
    running.ends_with(3);
    assert_eq!(screen.settings(), before);
}

fn a_stop_restores() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let running = raw(&mut screen);
    for stop in [Signal::SIGTSTP, Signal::SIGTSTP] {
        running.signal(stop);
        running.is_stopped();
        assert_eq!(screen.settings(), before);
        running.signal(Signal::SIGCONT);
        running.does("raw mode again", || screen.is_raw());
    }
    screen.type_in(b"once more");
    screen.wait_for("once more");
    screen.type_in(b"\x01x");
    running.ends_with(130);
    assert_eq!(screen.settings(), before);
}

/// Runs a command in a session that this terminal controls, as a shell with its user does.
fn session(screen: &mut Screen, command: &str) -> Running {
    let mut shell = Command::new("setsid");
    shell.args(["-c", "sh", "-c", command]).arg(PROGRAM);
    on(screen, Invocation::new(shell))
}

/// The terminal is another program's.
fn in_the_background() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let guest = image::print_and_halt("up\n").file();
    let name = guest.display();
    // Each run is in the background while the shell reads a line.
    let part = |arguments| format!("\"$0\" run {name} {arguments} & read x; kill -9 $!; wait $!");
    let (first, second) = (part("--watchdog off"), part("--watchdog off --console raw"));
    let running = session(&mut screen, &format!("set -m; {first}; {second}; echo over"));
    let shown = screen.wait_for("up\r\n");
    assert!(!shown.contains(BEGIN), "{shown}");
    assert_eq!(screen.settings(), before);
    screen.type_in(b"\n");
    // The user insists, and yet the terminal is another program's.
    screen.wait_for(BEGIN);
    assert_eq!(screen.settings(), before);
    screen.type_in(b"\n");
    screen.wait_for("over");
    running.ends_with(0);
}

fn ctrl_c_with_the_catalogue() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let running = session(&mut screen, "exec \"$0\" run spin");
    let shown = screen.wait_for("vCPUs up");
    assert!(!shown.contains(BEGIN), "{shown}");
    assert_eq!(screen.settings(), before);
    screen.type_in(b"\x03");
    running.ends_with(130);
}

fn lines_if_the_user_says_so() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let invocation = jitterbug("run --console lines").image(&image::echo(5));
    let running = on(&mut screen, invocation);
    screen.type_in(b"wotd\x7f\x7frd\n");
    // The terminal shows what is typed, with corrections; then the guest prints the line.
    let shown = screen.wait_for("\nword\r\n");
    assert!(shown.starts_with("wotd"), "{shown}");
    assert_eq!(screen.settings(), before);
    running.ends_with(0);
}

fn lines_unless_it_is_on_a_terminal() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let running = jitterbug("run").image(&image::echo(2)).stdin(screen.tty()).start();
    screen.type_in(b"x\n");
    running.prints("x\n");
    assert_eq!(screen.settings(), before);
    running.ends_with(0);
}

fn raw_without_a_screen() {
    let mut screen = Screen::new();
    let before = screen.settings();
    let invocation = jitterbug("run --console raw").image(&image::echo(2)).stdin(screen.tty());
    let running = invocation.start();
    running.reports(BEGIN);
    assert!(screen.is_raw());
    screen.type_in(b"x");
    running.prints("x");
    screen.type_in(b"\n");
    running.ends_with(0).shows("x\n");
    assert_eq!(screen.settings(), before);
}
