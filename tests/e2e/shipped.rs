//! The claim: the header of each script in `probes/scripts/` says what the script shows and how it
//! is run, and the script shows that.

use std::fs;
use std::path::{Path, PathBuf};

use crate::compile;
use crate::harness::{Finished, Invocation, jitterbug};
use crate::replay_scripts::{find, replay};
use crate::scratch::Folder;

tests! {
    Nothing: each_has_a_header_and_a_test;
    Kvm: exits, ap_boot, ap_boot_in_a_replay, writes, ipi_points;
    KvmWithBreakpoints: ipi_latency;
    QuickKvm: spins;
    KvmAndCompiler: console, lock_times;
}

/// The scripts that the tests below run, and the script of 2012, which has its own tests.
const TESTED: &[&str] = &[
    "ap-boot.emt",
    "console.emt",
    "exits.emt",
    "ipi-latency.emt",
    "ipi-points.emt",
    "lock-times.emt",
    "one-good-probe.vp",
    "spins.emt",
    "writes.emt",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../probes/scripts")
}

/// Reports for each vCPU when it has had fifty ticks, however long that takes.
pub(crate) const TICKS: &str = r#"
perthread int ticks;
VMM:PROFILE:10msec { ticks++; if (ticks == 50) printf("%d has had its ticks\n", VCPUID); }"#;

/// Runs one of the scripts.
fn with(invocation: Invocation, script: &str) -> Invocation {
    invocation.arg("--probe").arg(folder().join(script))
}

fn each_has_a_header_and_a_test() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("scripts")
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, TESTED);
    // The script of 2012 is kept unchanged.
    for name in names.iter().filter(|name| *name != "one-good-probe.vp") {
        let text = fs::read_to_string(folder().join(name)).expect("a script");
        let header = text.split("*/").next().expect("a header");
        let how = format!("--probe probes/scripts/{name}");
        assert!(header.starts_with("/*\n * ") && header.contains(&how), "{name}: {header}");
    }
}

/// The number after the first line that begins like this.
fn figure(run: &Finished, line: &str) -> u64 {
    let rest = run.lines_with(line).next().unwrap_or_else(|| panic!("no `{line}`: {run}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{rest}: {run}"))
}

fn exits() {
    let run = with(jitterbug("run hello --cpus 1"), "exits.emt").ends_with(0);
    let of_print: Vec<&str> = run.lines_with("  exits[\"port-write\",\"print+").collect();
    let counts = of_print.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
    assert!(counts.sum::<usize>() >= run.stdout.len(), "{run}");
    assert_eq!(run.lines_with("  exits[\"port-write\",\"exit+").count(), 1, "{run}");
}

fn spins() {
    let run = with(jitterbug("run spin --cpus 2").probe(TICKS), "spins.emt");
    let run = run.until_it_reports("has had its ticks", 2);
    for vcpu in ["0x0", "0x1"] {
        let of = format!("  spins[{vcpu},spin_inner+");
        let places: Vec<&str> = run.lines_with(&of).collect();
        assert!(!places.is_empty(), "{vcpu}: {run}");
        assert!(places.iter().all(|place| place.contains(" < spin_middle+")), "{run}");
    }
}

/// The steps of each AP are present and in order, with increasing times.
fn boots(run: &Finished, vcpus: std::ops::Range<u32>) {
    for vcpu in vcpus {
        assert_eq!(
            run.lines_with("vCPU 0: starts CPU ").filter(|n| *n == vcpu.to_string()).count(),
            1
        );
        let of = format!("vCPU {vcpu}: ");
        let steps: Vec<(u64, &str)> = run
            .lines_with(&of)
            .filter_map(|line| line.split_once(" us: "))
            .map(|(time, step)| (time.trim().parse().expect("a time"), step))
            .collect();
        assert!(steps.is_sorted_by_key(|(time, _)| *time), "{run}");
        let names: Vec<&str> = steps.iter().map(|(_, step)| *step).collect();
        assert_eq!(names, ["SIPI", "in 64-bit code", "asks what it is", "up"], "{run}");
    }
}

fn ap_boot() {
    let run = with(jitterbug("run tsc-sync-fixed --cpus 3 --watchdog off"), "ap-boot.emt");
    boots(&run.ends_with(0), 1..3);
}

/// The last vCPU that was started hangs while it starts.
fn ap_boot_in_a_replay() {
    let folder = Folder::new();
    let finding = find(&folder, "tsc-sync");
    let run = with(replay(&finding, ""), "ap-boot.emt").ends_with(0);
    let started = run.lines_with("vCPU 0: starts CPU ").count() as u32;
    assert!(started > 0, "{run}");
    boots(&run, 1..started);
}

/// Each vCPU sets `platform_type` to nothing, and then to what it has detected.
fn writes() {
    let fixed = jitterbug("run tsc-sync --cpus 2 --watchdog off --timeout 20s");
    let run = with(fixed, "writes.emt").ends_with(0);
    for vcpu in 0..2 {
        let of = format!("vCPU {vcpu} stores ");
        let stores: Vec<&str> = run.lines_with(&of).collect();
        let values: Vec<&str> = stores.iter().filter_map(|s| s.split(':').next()).collect();
        assert_eq!(values, ["0", "0x3"], "{run}");
    }
    assert!(run.lines_with("  writers[determine_platform+").count() >= 2, "{run}");
}

fn ipi_latency() {
    let run =
        with(jitterbug("run irq-mainline"), "ipi-latency.emt").start().ends_with_any(&[0, 1]).1;
    assert!(figure(&run, "  latency[0x22] == avg ") > 100, "{run}");
}

fn ipi_points() {
    let folder = Folder::new();
    for (guest, vector) in [("irq-mainline", "0x22"), ("lost-wakeup", "0x20")] {
        let finding = find(&folder, guest);
        let run = with(replay(&finding, ""), "ipi-points.emt").ends_with(0);
        let points = figure(&run, &format!("  points[{vector}] == avg "));
        assert!((1..1000).contains(&points), "{run}");
    }
}

/// The guest logs to memory, and gets stuck before any of it is on the console.
fn console() {
    let folder = Folder::new();
    let before = r#"#include "rt.h"
char log_buf[8192];
void __wrap_mark(void);
void __wrap_mark(void)
{
	char *end = log_buf;

	for (unsigned i = 0; i < 60; i++)
		for (const char *p = "step of the way\n"; *p; p++)
			*end++ = *p == 'o' && p[-1] == ' ' ? (char)('A' + i % 26) : *p;
	__builtin_memcpy(end, "stuck", 5);
	for (;;)
		pause();
}
"#;
    let guest = compile::guest(&folder, "abba", before, &["-Wl,--wrap=mark"]);
    let run = with(jitterbug("run --cpus 2 --watchdog 1s").arg(&guest), "console.emt").ends_with(1);
    assert_eq!(run.stdout, "", "{run}");
    let steps: Vec<&str> = run.lines_with("step ").collect();
    let all: Vec<String> =
        (0..60).map(|i| format!("{}f the way", char::from(b'A' + i % 26))).collect();
    assert_eq!(steps, all, "{run}");
    assert!(run.stderr.lines().any(|line| line == "stuck"), "{run}");
}

fn lock_times() {
    let folder = Folder::new();
    let before = r#"#include "rt.h"
#include "spinlock.h"
volatile uint64_t queue_lock, table_lock;
NOINLINE void lock(volatile uint64_t *lock);
NOINLINE void unlock(volatile uint64_t *lock);
void __wrap_mark(void);
void lock(volatile uint64_t *lock) { spin_lock(lock); }
void unlock(volatile uint64_t *lock) { spin_unlock(lock); }
void __wrap_mark(void)
{
	for (unsigned i = 0; i < 6; i++) {
		volatile uint64_t *of = i % 3 ? &queue_lock : &table_lock;
		lock(of);
		work(5000);
		unlock(of);
	}
}
"#;
    let guest = compile::guest(&folder, "abba", before, &["-DFIXED", "-Wl,--wrap=mark"]);
    let run =
        with(jitterbug("run --cpus 2 --watchdog off").arg(&guest), "lock-times.emt").ends_with(0);
    for (name, times) in [("queue_lock", 4), ("table_lock", 2)] {
        for what in ["waited", "held"] {
            let of = format!("  {what}[\"{name}\"] == avg ");
            let line = run.lines_with(&of).next();
            let line = line.unwrap_or_else(|| panic!("{what} {name}: {run}"));
            assert!(line.contains(&format!(" count {times} ")), "{line}: {run}");
        }
        // The minimum of each is compared, because other work on the host makes times longer.
        let least = |what: &str| -> u64 {
            let of = format!("  {what}[\"{name}\"] == ");
            let line = run.lines_with(&of).next().and_then(|line| line.split(" min ").nth(1));
            line.and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a minimum")
        };
        assert!(least("held") > least("waited"), "{run}");
    }
}
