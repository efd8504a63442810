//! The claim: scripts work in a finding's run as well. They have virtual time, they print the same
//! in each replay, and the run stays the recorded one.

use std::path::{Path, PathBuf};

use crate::compile;
use crate::harness::{Finished, Invocation, jitterbug};
use crate::scratch::Folder;

tests! {
    Kvm: every_replay_prints_the_same, timers_tick_in_virtual_time,
        the_ring_is_printed_as_the_guest_fails, a_probe_that_never_fired_is_told,
        what_the_host_knows_is_refused, shared_memory_is_watched_and_no_other, options_without_a_script_are_refused;
    KvmAndCompiler: another_build_is_looked_into_as_well;
}

/// Finds a failure; which one depends on chance.
pub(crate) fn find(folder: &Folder, guest: &str) -> PathBuf {
    let seed = std::process::id();
    let hunt = jitterbug(&format!("hunt {guest} --seed {seed} --runs 3000 --json --out"));
    let report = hunt.arg(&**folder).ends_with(1).json();
    report["findings"][0]["file"].as_str().expect("a finding").into()
}

/// The finding comes first, because the last option may need a value.
pub(crate) fn replay(finding: &Path, options: &str) -> Invocation {
    let words = options.split_ascii_whitespace();
    words.fold(jitterbug("replay").arg(finding), Invocation::arg)
}

/// Prints everything that a script can read: time, registers, memory, and the order of events.
const CURIOUS: &str = r#"
aggr exits[1][1];
VMM:TIMER:50usec { printf("%d ticks: %s, TSC %d %d, %d\n", VCPUID, gueststack(), TSC, readmsr(0x10), getsystemtime()); }
VMM:PROFILE:50usec { hot[gueststack()]++; }
HV_Exit { n++; exits[VCPUID, EXITNAME] = hist(n); printf("%d %s %x %x\n", VCPUID, EXITNAME, RIP, RSP); }
Out(int port, int size, int count, int value) { printf("%d %x: %x\n", VCPUID, port, value); }
Sched_Switch(int from, int to) { printf("%d to %d\n", from, to); }
IPI_Send { printf("%d sends %x to %x\n", VCPUID, ARG1, ARG0); }
GUEST:EXIT:*print* { printf("%d back, %d, %x\n", VCPUID, RAX, RSP); }
VMMUnload { printf("%d ends\n", VCPUID); }
"#;

/// What the scripts printed in these replays, without the program's own messages.
fn printed(replay: &Finished) -> String {
    let lines = replay.stderr.lines().filter(|line| !line.starts_with("jitterbug: "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn every_replay_prints_the_same() {
    let folder = Folder::new();
    for guest in ["tsc-sync --cpus 4", "lost-update"] {
        let finding = find(&folder, guest);
        let once = replay(&finding, "").probe(CURIOUS).ends_with(0).says(&[
            "jitterbug: reproduced: ",
            "ticks: GUEST_0x",
            "aggr: hot (0 integer keys) (0 string keys) (1 stack key)",
            "exits[0x0,\"port-write\"] == avg ",
            "1 mmio-read ",
            "0 3f8: ",
            "0 to 1\n",
            "0 sends ",
            "0 back, ",
            "1 ends",
        ]);
        let first = printed(&once);
        let again = replay(&finding, "--repeat 3").probe(CURIOUS).ends_with(0);
        assert_eq!(printed(&again), first.repeat(3), "{again}");
        again.says(&["jitterbug: reproduced 3 times: "]);
    }
}

/// A scheduling point takes a microsecond, and the machine's clock starts in 2026.
fn timers_tick_in_virtual_time() {
    let folder = Folder::new();
    let finding = find(&folder, "tsc-sync");
    let run = replay(&finding, "")
        .probe("VMM:TIMER:50usec / VCPUID == 0 / { printf(\"at %d\\n\", getsystemtime()); }")
        .ends_with(0);
    let times: Vec<&str> = run.lines_with("at ").collect();
    let words: Vec<&str> = run.stderr.split([' ', ',']).collect();
    let at = words.iter().position(|word| *word == "points").expect("a number of points");
    let points: usize = words[at - 1].parse().expect("a number");
    assert!(!times.is_empty() && times.len() >= points / 50, "{run}");
    for (number, time) in (1..).zip(times) {
        assert_eq!(time, format!("{}", 1_767_225_600_000_000_u64 + 50 * number), "{run}");
    }
}

fn the_ring_is_printed_as_the_guest_fails() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    let run = replay(&finding, "--ring 2")
        .probe("HV_Exit { n++; printf(\"exit %d\\n\", n); }")
        .ends_with(0);
    let lines: Vec<&str> = run.lines_with("[").collect();
    assert_eq!(lines.len(), 4, "{run}");
    assert!(lines.is_sorted_by_key(|line| line.split(" vCPU").next()), "{run}");
    assert!(lines.iter().all(|line| line.contains("] exit ")), "{run}");
}

fn a_probe_that_never_fired_is_told() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    replay(&finding, "")
        .probe("VMM1Hz { printf(\"%d\\n\", VCPUID); }")
        .ends_with(0)
        .says(&["warning: -e #1:1: VMM1Hz never fired; the guest ran for 0.000", "virtual time"]);
}

fn what_the_host_knows_is_refused() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    for code in ["VMMLoad { printf(\"%d\\n\", THREADID); }", "(vprobe VMMLoad (logint PCPUID))"] {
        replay(&finding, "").probe(code).ends_with(2).says(&[
            "the script is not run",
            "ID is not available: it is the host's affair, and each replay is to print the same",
        ]);
    }
}

/// Each CPU detects the platform, and first stores 0.
fn shared_memory_is_watched_and_no_other() {
    let folder = Folder::new();
    let finding = find(&folder, "tsc-sync --cpus 4");
    let run = replay(&finding, "")
        .probe("GUEST:WRITE:platform_type { printf(\"vCPU %d stores %d\\n\", VCPUID, ARG2); }")
        .ends_with(0)
        .says(&["vCPU 0 stores 0\nvCPU 0 stores 3\n", "jitterbug: reproduced: "]);
    assert!(run.lines_with("vCPU 1 stores ").count() > 0, "{run}");
    replay(&finding, "").probe("GUEST:READ:cpu_init_hook { n++; }").ends_with(2).says(&[
        "watch of guest-physical 0x",
        "not among what the finding's machine watches, which is what its vCPUs share",
    ]);
}

fn options_without_a_script_are_refused() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    replay(&finding, "--ring 5").ends_with(2).says(&["--ring: there is no script"]);
    jitterbug("run hello --strict-vp").ends_with(2).says(&["--strict-vp: there is no script"]);
}

fn another_build_is_looked_into_as_well() {
    let (folder, build) = (Folder::new(), Folder::new());
    let finding = find(&folder, "abba");
    let other = compile::guest(&build, "abba", "int more = 1;\n", &[]);
    replay(&finding, "--repeat 2 --guest")
        .arg(&other)
        .probe("VMMUnload { printf(\"end %d\\n\", VCPUID); }")
        .ends_with(0)
        .says(&["is another build", "end 0\nend 1\nend 0\nend 1\n", "reproduced 2 times (same"]);
}
