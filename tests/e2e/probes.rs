//! The claim: probes fire on every started vCPU, whether it runs, spins or is halted; each vCPU has
//! variables of its own; stacks are right.

use crate::harness::{Finished, jitterbug};
use crate::image;

tests! {
    QuickKvm: spinning_vcpus, halted_vcpus, halted_aps, one_hertz_is_one_hertz,
        the_counter_counts_as_often_as_it_says;
    Kvm: stacks_by_name, load_and_unload_once,
        variables_are_each_vcpus_own, strings, not_before_the_start,
        two_scripts_at_once, a_probe_that_never_fired, a_division_by_zero_is_told;
}

/// How often each vCPU printed `CPU <number>`.
fn counts(run: &Finished, vcpus: usize) -> Vec<usize> {
    let mut counts = vec![0; vcpus];
    for line in run.lines_with("CPU ") {
        counts[line.parse::<usize>().unwrap_or_else(|_| panic!("`{line}`: {run}"))] += 1;
    }
    counts
}

fn spinning_vcpus() {
    let run = jitterbug("run spin --cpus 3 --timeout 2s")
        .probe(r#"(vprobe VMM10Hz (printf "CPU %d\n" VCPUID))"#)
        .ends_with(0)
        .shows("spin: 3 vCPUs up\n");
    let counts = counts(&run, 3);
    assert!(counts.iter().all(|count| (10..=20).contains(count)), "{counts:?}: {run}");
}

/// Without interrupts, nothing inside the machine would ever wake it.
fn halted_vcpus() {
    let run = jitterbug("run --watchdog off --timeout 1500ms")
        .image(&image::halt())
        .probe(r#"(vprobe VMM10Hz (printf "CPU %d\n" VCPUID))"#)
        .ends_with(0);
    let counts = counts(&run, 1);
    assert!((8..=15).contains(&counts[0]), "{counts:?}: {run}");
}

/// `hello` is told of a third vCPU that isn't there, and waits for it while vCPU 1 sleeps.
fn halted_aps() {
    let run = jitterbug("run hello --cpus 2 --cmdline cpus=3 --watchdog off --timeout 1500ms")
        .probe(r#"(vprobe VMM10Hz (printf "CPU %d\n" VCPUID))"#)
        .ends_with(0);
    let counts = counts(&run, 2);
    assert!(counts.iter().all(|count| (8..=15).contains(count)), "{counts:?}: {run}");
}

fn stacks_by_name() {
    let run = jitterbug("run spin --cpus 3 --timeout 1500ms")
        .probe(r#"(defstring s) (vprobe VMM10Hz (gueststack s) (printf "%d %s\n" VCPUID s))"#)
        .ends_with(0);
    for vcpu in 0..3 {
        let line = format!("{vcpu} GUEST_0x");
        let last = run.stderr.lines().rev().skip_while(|l| !l.starts_with(&line)).count();
        let names = run.stderr.lines().nth(last).unwrap_or_default();
        let functions: Vec<&str> =
            names.trim().split(" < ").filter_map(|frame| frame.split('+').next()).collect();
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
    let run = jitterbug("run spin --cpus 3 --timeout 2s")
        .probe(
            r#"(definteger n)
               (vprobe VMM10Hz
                   (setint n (+ n 1))
                   (cond ((<= n 5) (printf "%d:%d\n" VCPUID n))))"#,
        )
        .ends_with(0);
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
    let run = jitterbug("run spin --cpus 2 --timeout 3500ms")
        .probe(r#"(vprobe VMM1Hz (printf "CPU %d\n" VCPUID))"#)
        .ends_with(0);
    let counts = counts(&run, 2);
    assert!(counts.iter().all(|count| (2..=3).contains(count)), "{counts:?}: {run}");
}

fn the_counter_counts_as_often_as_it_says() {
    let run = jitterbug("run spin --cpus 1 --timeout 1800ms")
        .probe(
            r#"VMM:TIMER:500msec {
                   if (last) printf("%d ms\n", (TSC - last) / (TSC_HZ / 1000));
                   last = TSC;
               }"#,
        )
        .ends_with(0);
    let times = run.stderr.lines().filter_map(|line| line.strip_suffix(" ms")?.parse::<u64>().ok());
    let times: Vec<_> = times.collect();
    assert!(!times.is_empty(), "{run}");
    assert!(times.iter().all(|time| (400..=900).contains(time)), "{times:?}: {run}");
}

/// The tiny guest starts no AP.
fn not_before_the_start() {
    let run = jitterbug("run --cpus 4 --watchdog off --timeout 1s")
        .image(&image::halt())
        .probe(r#"(vprobe VMM10Hz (printf "CPU %d\n" VCPUID))"#)
        .ends_with(0);
    let counts = counts(&run, 4);
    assert!(counts[0] >= 5, "{run}");
    assert_eq!(counts[1..], [0; 3], "{run}");
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
    let run = jitterbug("run spin --cpus 2 --timeout 1s")
        .probe(r#"(definteger none) (vprobe VMM10Hz (printf "%d\n" (/ VCPUID none)))"#)
        .ends_with(0)
        .says(&["division by zero", "-e #1"]);
    let told = run.stderr.matches("division by zero").count();
    assert!((1..=2).contains(&told), "told {told} times: {run}");
}
