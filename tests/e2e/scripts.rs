//! The claim: scripts count, measure and read a real guest: exits, aggregates that are printed at
//! the end, guest memory, the ring of last lines.

use nix::sys::signal::Signal;

use crate::harness::jitterbug;
use crate::image;

tests! {
    Kvm: port_writes_are_counted, stacks_are_keys, the_ring_is_printed_when_the_guest_hangs,
        the_ring_of_a_good_run_is_not_printed;
}

/// `hello` prints on COM1 and ends the run at port 0xf4.
fn port_writes_are_counted() {
    let run = jitterbug("run hello --cpus 1")
        .probe(
            r"(defaggr ports 1 0)
              (vprobe Out / (== ARG1 1) / (aggr ports (ARG0) () (count)))",
        )
        .ends_with(0);
    let bytes = run.stdout.len();
    assert!(bytes > 0, "{run}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    let header = "aggr: ports (1 integer key) (0 string keys)";
    let at = lines.iter().position(|line| *line == header).unwrap_or_else(|| panic!("{run}"));
    // The guest also writes to the port to set it up.
    let count = lines[at..].iter().find_map(|line| line.strip_prefix("  ports[0x3f8] == count "));
    let count: usize =
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{run}"));
    assert!((bytes..=bytes + 8).contains(&count), "{count} of {bytes}: {run}");
}

/// Prints stacks ten times a second.
const STACKS: &str = r#"(defstring s) (vprobe VMM10Hz (gueststack s) (printf "%s\n" s))"#;

fn stacks_are_keys() {
    let running = jitterbug("run spin --cpus 2")
        .probe("(defaggr hot 0 1) (vprobe VMM:PROFILE:10msec (aggr hot () ((gueststack)) (count)))")
        .probe(STACKS)
        .start();
    // A vCPU that spins stays where it is.
    for caller in [" < main+", " < ap_main+"] {
        running.reports_that(caller, |stderr| stderr.matches(caller).count() > 3);
    }
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130);
    let hot: Vec<&str> = run.lines_with("  hot[").collect();
    assert!(hot.iter().any(|line| line.contains(" < main+")), "{run}");
    assert!(hot.iter().any(|line| line.contains(" < ap_main+")), "{run}");
}

fn the_ring_is_printed_when_the_guest_hangs() {
    let run = jitterbug("run --watchdog 1s --ring 3")
        .image(&image::halt())
        .probe(r#"(definteger n) (vprobe VMM10Hz (setint n (+ n 1)) (printf "tick %d\n" n))"#)
        .ends_with(1);
    let ticks: Vec<&str> = run.stderr.lines().filter(|l| l.contains("vCPU 0] tick ")).collect();
    assert_eq!(ticks.len(), 3, "{run}");
}

fn the_ring_of_a_good_run_is_not_printed() {
    let run =
        jitterbug("run hello --ring 3").probe(r#"(vprobe Out (printf "port\n"))"#).ends_with(0);
    assert!(!run.stderr.contains("port"), "{run}");
}
