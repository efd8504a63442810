//! The claim: probes fire on every started vCPU, whether it runs, spins or is halted; each vCPU has
//! its own variables; stacks are right.

use nix::sys::signal::Signal;

use crate::harness::{Finished, Invocation, jitterbug};
use crate::image;

tests! {
    QuickKvm: spinning_vcpus, halted_vcpus, halted_aps, one_hertz_is_one_hertz,
        the_counter_counts_as_often_as_it_says;
    Kvm: stacks_by_name, load_and_unload_once,
        variables_are_each_vcpus_own, strings, not_before_the_start,
        two_scripts_at_once, a_probe_that_never_fired, a_division_by_zero_is_told;
}

/// How many times each vCPU printed `CPU <number>`.
fn counts(run: &Finished, vcpus: usize) -> Vec<usize> {
    let mut counts = vec![0; vcpus];
    for line in run.lines_with("CPU ") {
        counts[line.parse::<usize>().unwrap_or_else(|_| panic!("`{line}`: {run}"))] += 1;
    }
    counts
}

/// Runs until each of `vcpus` vCPUs has printed `CPU <number>` `times` times, and checks that this
/// was at most `hertz` times a second.
fn ticks(invocation: Invocation, vcpus: usize, times: usize, hertz: f64) -> Finished {
    let running = invocation.probe(&tick(hertz)).start();
    for vcpu in 0..vcpus {
        running.reports_often(&format!("CPU {vcpu}\n"), times);
    }
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130);
    let most = run.seconds() * hertz;
    let counts = counts(&run, vcpus);
    assert!(counts.iter().all(|count| *count as f64 <= most), "{counts:?} of {most}: {run}");
    run
}

fn tick(hertz: f64) -> String {
    format!(r#"(vprobe VMM{hertz}Hz (printf "CPU %d\n" VCPUID))"#)
}

fn spinning_vcpus() {
    ticks(jitterbug("run spin --cpus 3"), 3, 10, 10.0).shows("spin: 3 vCPUs up\n");
}

/// Without interrupts, no event inside the machine would ever wake the vCPU.
fn halted_vcpus() {
    ticks(jitterbug("run --watchdog off").image(&image::halt()), 1, 10, 10.0);
}

/// `hello` expects a third vCPU, which doesn't exist, and waits for it while vCPU 1 sleeps.
fn halted_aps() {
    ticks(jitterbug("run hello --cpus 2 --cmdline cpus=3 --watchdog off"), 2, 10, 10.0);
}

/// The names below the last stack that a vCPU has printed, if they have been printed.
fn last_names(stderr: &str, vcpu: usize) -> Option<&str> {
    let line = format!("{vcpu} GUEST_0x");
    let last = stderr.lines().rev().skip_while(|l| !l.starts_with(&line)).count();
    stderr.lines().nth(last).filter(|_| last > 0).map(str::trim)
}

fn stacks_by_name() {
    let running = jitterbug("run spin --cpus 3")
        .probe(r#"(defstring s) (vprobe VMM10Hz (gueststack s) (printf "%d %s\n" VCPUID s))"#)
        .start();
    // A vCPU that spins stays where it is.
    let spins = |stderr: &str, vcpu| {
        last_names(stderr, vcpu).is_some_and(|names| names.starts_with("spin_inner+0x"))
    };
    running.reports_that("a stack of each", |stderr| (0..3).all(|vcpu| spins(stderr, vcpu)));
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130);
    for vcpu in 0..3 {
        let names = last_names(&run.stderr, vcpu).unwrap_or_default();
        let functions: Vec<&str> =
            names.split(" < ").filter_map(|frame| frame.split('+').next()).collect();
        let caller = if vcpu == 0 { "main" } else { "ap_main" };
        let expected = ["spin_inner", "spin_middle", "spin_outer", caller];
        assert!(functions.starts_with(&expected), "vCPU {vcpu}: {names}: {run}");
        assert!(names.contains("(spin.c:"), "{names}");
    }
}

fn load_and_unload_once() {
    let run = jitterbug("run hello --cpus 6")
        .probe(r#"(vprobe VMMLoad (printf "load %d of %d\n" VCPUID NUMVCPUS))"#)
        .probe(r#"(vprobe VMMUnload (printf "unload %d\n" VCPUID))"#)
        .ends_with(0)
        .shows("hello: 6 vCPUs up, hypervisor VMwareVMware\n");
    for (before, after) in [("load ", " of 6"), ("unload ", "")] {
        let mut lines: Vec<&str> = run.lines_with(before).collect();
        lines.sort_unstable();
        let expected: Vec<String> = (0..6).map(|vcpu| format!("{vcpu}{after}")).collect();
        assert_eq!(lines, expected, "{run}");
    }
}

fn variables_are_each_vcpus_own() {
    let running = jitterbug("run spin --cpus 3")
        .probe(
            r#"(definteger n)
               (vprobe VMM10Hz
                   (setint n (+ n 1))
                   (cond ((<= n 5) (printf "%d:%d\n" VCPUID n))))"#,
        )
        .start();
    (0..3).for_each(|vcpu| running.reports(&format!("{vcpu}:5\n")));
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130);
    for vcpu in 0..3 {
        let before = format!("{vcpu}:");
        let counted: Vec<&str> = run.lines_with(&before).collect();
        assert_eq!(counted, ["1", "2", "3", "4", "5"], "{run}");
    }
}

fn strings() {
    let run = jitterbug("run hello --cpus 2")
        .probe(
            r#"(defstring kept)
               (vprobe VMMLoad (cond ((== VCPUID 1) (setstr kept "an AP")) (1 (setstr kept "CPU 0"))))
               (vprobe VMMUnload (printf "%d is %s\n" VCPUID kept))"#,
        )
        .ends_with(0);
    assert_eq!(run.lines_with("0 is ").collect::<Vec<_>>(), ["CPU 0"], "{run}");
    assert_eq!(run.lines_with("1 is ").collect::<Vec<_>>(), ["an AP"], "{run}");
}

fn one_hertz_is_one_hertz() {
    ticks(jitterbug("run spin --cpus 2"), 2, 3, 1.0);
}

/// Ticks may be late; later ones are again at their proper times.
fn the_counter_counts_as_often_as_it_says() {
    let run = jitterbug("run spin --cpus 1")
        .probe(
            r#"VMM:TIMER:500msec {
                   if (first) printf("%d ms\n", (TSC - first) / (TSC_HZ / 1000));
                   else first = TSC;
               }"#,
        )
        .until_it_reports(" ms\n", 3);
    let times = run.stderr.lines().filter_map(|line| line.strip_suffix(" ms")?.parse::<u64>().ok());
    let times: Vec<_> = times.collect();
    let last = *times.last().expect("times");
    assert!(last > 500 * (times.len() as u64 - 1), "{times:?}: {run}");
    assert!((last as f64) < run.seconds() * 1000.0 * 1.1, "{times:?}: {run}");
}

/// The small guest starts no AP.
fn not_before_the_start() {
    let run = jitterbug("run --cpus 4 --watchdog off").image(&image::halt());
    let counts = counts(&ticks(run, 1, 10, 10.0), 4);
    assert_eq!(counts[1..], [0; 3]);
}

fn two_scripts_at_once() {
    let scripts = crate::scratch::Folder::new();
    let one = scripts.file("one.vp", r#"(vprobe VMMLoad (printf "one %d\n" VCPUID))"#);
    let two = scripts.file("two.vp", r#"(vprobe VMMLoad (printf "two %d\n" VCPUID))"#);
    jitterbug("run hello --probe")
        .arg(one)
        .arg("--probe")
        .arg(two)
        .probe(r#"(vprobe VMMLoad (printf "three %d\n" VCPUID))"#)
        .ends_with(0)
        .says(&["one 0\n", "two 0\n", "three 0\n"]);
}

fn a_probe_that_never_fired() {
    jitterbug("run hello")
        .probe(r#"(vprobe VMM1Hz (printf "%d\n" VCPUID))"#)
        .ends_with(0)
        .says(&["warning: -e #1:1: VMM1Hz never fired"]);
}

fn a_division_by_zero_is_told() {
    let run = jitterbug("run spin --cpus 2")
        .probe(r#"(definteger none) (vprobe VMM10Hz (printf "%d\n" (/ VCPUID none)))"#)
        .until_it_reports("division by zero", 1)
        .says(&["-e #1"]);
    let told = run.stderr.matches("division by zero").count();
    assert!((1..=2).contains(&told), "told {told} times: {run}");
}
