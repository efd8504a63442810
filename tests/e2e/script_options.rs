//! The claim: scripts take values from the command line, their lines can have times, and a failure
//! that a script has caused is not reported as the guest's own.

use crate::harness::jitterbug;
use crate::image;
use crate::scratch::Folder;

tests! {
    Kvm: a_shipped_script_for_another_variable, lines_have_their_time,
        a_fault_that_a_script_injected, time_is_virtual_in_a_replay;
}

fn a_shipped_script_for_another_variable() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../probes/scripts/writes.emt");
    // The script's own variable belongs to another guest.
    let run = jitterbug("run lost-update --timeout 5s --probe").arg(script);
    run.ends_with(2).says(&["platform_type"]);
    let run = jitterbug("run lost-update --timeout 5s --probe").arg(script);
    let run = run.arg("--set").arg("VARIABLE=counter").start().ends_with_any(&[0, 1]).1;
    assert!(run.stderr.contains("stores 0x1: GUEST_0x"), "{run}");
}

fn lines_have_their_time() {
    let code = r#"(vprobe VMMUnload (printf "end %d\n" VCPUID))"#;
    let run = jitterbug("run hello --cpus 2 --timestamps").probe(code).ends_with(0);
    for vcpu in 0..2 {
        let of = format!(" vCPU {vcpu}] end {vcpu}");
        let line = run.stderr.lines().find(|line| line.ends_with(&of));
        let line = line.unwrap_or_else(|| panic!("{run}")).trim_end_matches(&of);
        let seconds: f64 = line.trim_start_matches(['[', ' ']).parse().expect("seconds");
        assert!(seconds > 0.0, "{run}");
    }
    jitterbug("run hello --timestamps").ends_with(2).says(&["--timestamps: there is no script"]);
}

fn a_fault_that_a_script_injected() {
    let code = "Out { setreg(REG_RIP, 0); }";
    let run = jitterbug("run hello --cpus 1 --destructive").probe(code).ends_with(1);
    assert!(!run.stderr.contains("jitterbug hunt"), "{run}");
    let run = jitterbug("run hello --cpus 1 --destructive --explain").probe(code).ends_with(1);
    run.says(&["--explain: a script changed the guest in this run (setreg "]);
    // For the same failure without a script, a search is proposed.
    jitterbug("run").image(&image::triple_fault()).ends_with(1).says(&["jitterbug hunt "]);
}

fn time_is_virtual_in_a_replay() {
    let folder = Folder::new();
    let hunt = jitterbug("hunt lost-update --json --out").arg(&*folder).ends_with(1);
    let file = hunt.json()["findings"][0]["file"].as_str().expect("a finding").to_owned();
    let code = r#"Sched_Point { printf("%d\n", elapsed); }"#;
    let replay = || jitterbug("replay --timestamps").arg(&file).probe(code).ends_with(0).stderr;
    let first = replay();
    assert!(first.contains("[    0.000001 vCPU 0] 1000\n"), "{first}");
    assert_eq!(first, replay());
}
