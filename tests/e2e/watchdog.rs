//! The claim: a hang is found, and what each vCPU does is told: registers, stack, instruction, source
//! line, and the variable it waits for. A guest that lives is left alone.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::jitterbug;
use crate::image;
use crate::symbols::function_at;

tests! {
    Kvm: it_says_what_each_vcpu_waits_for, the_report_is_complete_as_text,
        a_halted_guest_is_a_hang, a_guest_that_spins_by_design_is_none,
        a_guest_that_spins_by_design_is_one_if_asked, a_sign_of_life_is_enough, it_can_be_off;
}

/// The hang of `tsc-sync`, as JSON. The patience is for slow hosts: where each CPUID takes 4 ms, the
/// guest's search for Xen by 256 of them stands still for a second.
fn it_says_what_each_vcpu_waits_for() {
    let run = jitterbug("run tsc-sync --jitter boot --until-failure --watchdog 5s --json")
        .within(120)
        .ends_with(1);
    let report = run.json();
    let hang = report["runs"].as_array().and_then(|runs| runs.last()).expect("a run");
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

/// Innermost first the stack has these functions; the loop reads this variable; the source line, or
/// the one before, has this in it.
fn spins(vcpu: &Value, functions: &[&str], variable: &str, source: &str) {
    let at = &vcpu["spin"]["at"];
    for (frame, function) in functions.iter().enumerate() {
        assert_eq!(vcpu["stack"]["frames"][frame]["function"], *function, "{vcpu}");
    }
    assert_eq!(at["function"], functions[0], "{vcpu}");
    let rip = vcpu["state"]["registers"]["rip"].as_u64().expect("RIP");
    assert_eq!(at["address"], format!("{rip:#x}"), "{vcpu}");
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

/// `hello` is told of a third vCPU that isn't there: CPU 0 waits for it, vCPU 1 sleeps.
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

/// Longer than the watchdog of other guests waits.
fn a_guest_that_spins_by_design_is_none() {
    let running = jitterbug("run spin")
        .probe(r#"VMM1Hz /VCPUID == 0 && ++seconds == 5/ { printf("5 s\n"); }"#)
        .start();
    running.prints("spin: 2 vCPUs up\n");
    running.reports("5 s\n");
    running.signal(Signal::SIGINT);
    running.ends_with(0).says(&["interrupted"]);
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

/// It prints every 50 ms and stays within a few instructions in between.
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
