//! The claim: a hang is found, and the report says what each vCPU does: registers, stack,
//! instruction, source line, and the variable it waits for. A guest that makes progress is not
//! disturbed.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::jitterbug;
use crate::image;
use crate::scratch::Folder;
use crate::symbols::function_at;

tests! {
    Kvm: it_says_what_each_vcpu_waits_for, the_report_is_complete_as_text,
        a_halted_guest_is_a_hang, a_guest_that_idles_is_quiet, who_may_not_idle_hangs,
        who_waits_for_input_is_waited_for, a_guest_that_spins_by_design_is_none,
        a_guest_that_spins_by_design_is_one_if_asked, a_sign_of_life_is_enough, it_can_be_off;
    QuickKvm: a_starved_guest_is_not_stuck;
}

/// The hang of `tsc-sync`, as JSON. On a slow host, the guest's search for Xen by 256 CPUIDs makes
/// no progress for a second of its own processor time, which is less than the watchdog's window.
fn it_says_what_each_vcpu_waits_for() {
    let run =
        jitterbug("run tsc-sync --jitter boot --until-failure --json").within(120).ends_with(1);
    let report = run.json();
    let hang = report["boots"].as_array().and_then(|runs| runs.last()).expect("a run");
    assert_eq!(hang["result"], "hang", "{run}");
    let vcpus = hang["vcpus"].as_array().expect("vCPUs");
    assert_eq!(vcpus.len(), 6, "{run}");
    let mut stuck = 0;
    for (number, vcpu) in vcpus.iter().enumerate() {
        assert_eq!(vcpu["vcpu"], number, "{vcpu}");
        match vcpu["state"]["activity"].as_str() {
            Some("wait-for-sipi") => {
                assert!(number > 0 && vcpu["stack"].is_null() && vcpu["spin"].is_null(), "{vcpu}");
            }
            Some("halted") => assert_eq!(vcpu["spin"]["at"]["function"], "idle", "{vcpu}"),
            Some("running") if number == 0 => {
                spins(
                    vcpu,
                    &["tsc_sync_master", "mp_start_cpu_common"],
                    "tsc_sync_go",
                    "tsc_sync_go",
                );
            }
            Some("running") => {
                stuck += 1;
                spins(vcpu, &["mp_startup_signal", "mp_startup_common"], "procset_slave", "in_set");
            }
            _ => panic!("{vcpu}"),
        }
    }
    assert_eq!((vcpus[0]["state"]["activity"].as_str(), stuck), (Some("running"), 1), "{run}");
}

/// The stack has these functions, innermost first; the loop reads this variable; the source line,
/// or the one before, contains this text.
fn spins(vcpu: &Value, functions: &[&str], variable: &str, source: &str) {
    let at = &vcpu["spin"]["at"];
    for (frame, function) in functions.iter().enumerate() {
        assert_eq!(vcpu["stack"]["frames"][frame]["function"], *function, "{vcpu}");
    }
    assert_eq!(at["function"], functions[0], "{vcpu}");
    let rip = vcpu["state"]["registers"]["rip"].as_str().expect("RIP");
    assert_eq!(at["address"], rip, "{vcpu}");
    let rip = u64::from_str_radix(rip.trim_start_matches("0x"), 16).expect("an address");
    assert_eq!(function_at("tsc-sync", rip).as_deref(), Some(functions[0]), "{vcpu}");
    assert!(vcpu["spin"]["instruction"].as_str().is_some_and(|text| !text.is_empty()), "{vcpu}");
    let reads = vcpu["spin"]["reads"].as_array().expect("what is read");
    assert!(reads.iter().any(|read| read["symbol"] == variable), "{vcpu}");

    let path =
        format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), at["file"].as_str().expect("a file"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = at["line"].as_u64().expect("a line") as usize;
    let near: Vec<&str> = text.lines().skip(line - 2).take(2).collect();
    assert!(near.iter().any(|line| line.contains(source)), "{path}:{line}: {near:?}");
}

/// `hello` expects a third vCPU, which doesn't exist: CPU 0 waits for it, vCPU 1 sleeps.
fn the_report_is_complete_as_text() {
    jitterbug("run hello --cpus 2 --cmdline cpus=3 --watchdog 1s").ends_with(1).shows("").says(&[
        "hang: for 1s",
        "vCPU 0: spins in main+0x",
        "(hello.c:",
        "reads up at 0x",
        "value 0x1\n",
        "  main+0x",
        " < boot+0x",
        "\n  rip fffffffffb80",
        "\n  rax ",
        "\n  r12 ",
        "vCPU 1: halted in idle+0x",
        " < ap_main+0x",
    ]);
}

fn a_halted_guest_is_a_hang() {
    jitterbug("run --cpus 2 --watchdog 500ms")
        .image(&image::halt())
        .ends_with(1)
        .shows("")
        .says(&["hang: for 500ms", "vCPU 0: halted", "vCPU 1: not started: waits for its SIPI"]);
}

fn a_guest_that_idles_is_quiet() {
    let said = "quiet: every vCPU sleeps and takes interrupts, and none is pending";
    let run = jitterbug("run --cpus 4 --watchdog 500ms").image(&image::idle(false)).ends_with(0);
    run.says(&[said, "; vCPUs 1, 2, 3 were never started"]);
    let folder = Folder::new();
    let guest = folder.file("idle.elf", guests::case("idle").expect("a case").image);
    let run = jitterbug("run --cpus 2 --watchdog 500ms --json").arg(&guest).ends_with(0);
    let report = run.json();
    let only = &report["boots"][0];
    assert_eq!((&only["result"], &only["console"]), (&"quiet".into(), &"all up\n".into()), "{run}");
    run.says(&[said]);
}

/// For a guest with a criterion of success, and for a guest of the catalogue, idling is a hang: a
/// wake-up was lost.
fn who_may_not_idle_hangs() {
    let expected = jitterbug("run --watchdog 500ms --ok up").image(&image::idle(false));
    expected.ends_with(1).says(&["hang: for 500ms", "vCPU 0: halted"]);
    jitterbug("run spin --cpus 1 --watchdog 500ms --destructive")
        .probe("Out /ARG3 == 10/ { up = 1; } VMM10Hz /up/ { setreg(REG_RIP, &idle); unload(); }")
        .ends_with(1)
        .says(&["hang: for 500ms", "vCPU 0: halted in idle+0x"]);
}

fn who_waits_for_input_is_waited_for() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let running = jitterbug("run --watchdog 300ms")
        .image(&image::idle(true))
        .probe(r#"VMM10Hz /++ticks == 12/ { printf("it sleeps\n"); }"#)
        .stdin(Stdio::from(reader))
        .start();
    running.reports("it sleeps\n");
    // No more input is possible.
    drop(writer);
    running.ends_with(0).says(&["quiet: "]);
}

/// The guest counts for half of the watchdog's window, while other processes compete for the same
/// processor.
fn a_starved_guest_is_not_stuck() {
    const WINDOW: f64 = 1.0;
    let figure = |rounds: u32, what: &str| {
        let guest = image::count(rounds);
        let run = jitterbug("run --watchdog 1s --json").image(&guest).ends_with(0);
        let run = &run.json()["boots"][0];
        let of_vcpu = &run["vcpus"][0][what];
        of_vcpu.as_f64().or_else(|| run[what].as_f64()).expect("a figure")
    };
    let few = 100_000;
    let rounds = f64::from(few) * WINDOW / 2.0 / figure(few, "processor_seconds");
    let _busy = Busy::on_one_processor(8);
    let seconds = figure(rounds.min(f64::from(i32::MAX)) as u32, "seconds");
    assert!(seconds > WINDOW, "nobody was in its way: {seconds} s");
}

/// Processes that use all of one processor, to which they and the processes that this thread starts
/// are bound.
struct Busy {
    processes: Vec<Child>,
    before: CpuSet,
}

impl Busy {
    fn on_one_processor(count: usize) -> Self {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).expect("where this thread may run");
        let first = (0..CpuSet::count()).find(|cpu| before.is_set(*cpu) == Ok(true));
        let mut one = CpuSet::new();
        one.set(first.expect("a processor")).expect("a processor of this host");
        sched_setaffinity(this, &one).expect("one of those where it may run");
        let busy = |_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        Self { processes: (0..count).map(busy).collect(), before }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}

/// The test lasts longer than the default watchdog's window.
fn a_guest_that_spins_by_design_is_none() {
    let running = jitterbug("run spin")
        .probe(r#"VMM1Hz /VCPUID == 0 && ++seconds == 5/ { printf("5 s\n"); }"#)
        .start();
    running.prints("spin: 2 vCPUs up\n");
    running.reports("5 s\n");
    running.signal(Signal::SIGINT);
    running.ends_with(130).says(&["interrupted"]);
}

fn a_guest_that_spins_by_design_is_one_if_asked() {
    jitterbug("run spin --watchdog 1s").ends_with(1).says(&[
        "hang: for 1s",
        "vCPU 0: spins in spin_inner+0x",
        "vCPU 1: spins in spin_inner+0x",
        "(spin.c:",
        " < spin_middle+0x",
    ]);
}

/// The guest prints every 50 ms and stays within a few instructions in between.
fn a_sign_of_life_is_enough() {
    jitterbug("run --watchdog 1s --destructive")
        .image(&image::heartbeat())
        .probe("Out /++beats == 60/ { stopvm(); }")
        .ends_with(0)
        .shows(&"\n".repeat(60));
}

fn it_can_be_off() {
    jitterbug("run --watchdog off --timeout 4s")
        .image(&image::halt())
        .ends_with(0)
        .says(&["time limit"]);
}
