//! The claim: in real time, a fault strikes the vCPU that it names when its time has come and at no
//! other, is counted, and is an error if it never did. A guest that expects it survives it.

use crate::cases::image;
use crate::harness::jitterbug;

tests! {
    Kvm: misuse_is_named, who_expects_it_survives, who_does_not_expect_it_fails, without_faults_nothing_strikes,
        what_never_struck_is_an_error, each_run_is_counted, a_page_fault_has_its_address,
        a_vcpu_that_is_held_for_too_long, a_vcpu_that_starts_late_or_never, bits_of_memory_change,
        registers_are_refused_or_lie, clocks_that_differ, kvm_s_clock_jumps;
    KvmWithBreakpoints: a_symbol_is_when;
}

/// Before its mark, a CPU has no handlers yet.
fn who_expects_it_survives() {
    let faults = [
        "nmi:at=mark,every=2ms,times=3",
        // It wakes a vCPU that sleeps.
        "nmi:vcpu=1,at=mark,every=2ms,times=3",
        "irq-spurious:vcpu=0,vector=0x21,at=mark+1ms,every=2ms,times=3",
        "irq-spurious:vcpu=1,vector=0x21,at=mark,every=2ms,times=3",
        // The other vCPU sleeps.
        "exception:vector=13,at=mark,every=2ms,times=3",
        "exception:vcpu=0,vector=14,at=mark,every=2ms,times=3",
        "exception:vcpu=0,vector=18,at=mark,every=2ms,times=3",
    ];
    for fault in faults {
        jitterbug("run --cpus 2 --timeout 60s")
            .arg(&*image("disturbed"))
            .arg("--fault")
            .arg(fault)
            .within(90)
            .ends_with(0)
            .says(&["ended the run: success", "struck 3 of 3 times"]);
    }
}

fn who_does_not_expect_it_fails() {
    for vcpu in [0, 1] {
        let run = jitterbug("run --cpus 2 --timeout 60s --fault")
            .arg(format!("nmi:vcpu={vcpu},at=mark"))
            .arg(&*image("impatient"))
            .within(90)
            .ends_with(1)
            .says(&["struck 1 of 1 times"]);
        let told = format!("cpu {vcpu}\n");
        assert!(run.stdout.contains("vector 2,") && run.stdout.contains(&told), "{run}");
        assert!(!run.stderr.contains("jitterbug hunt"), "a search has no such fault: {run}");
    }
    let run = jitterbug("run --cpus 2 --timeout 60s --fault irq-spurious:vector=0x31,at=mark")
        .arg(&*image("disturbed"))
        .within(90)
        .ends_with(1);
    assert!(run.stdout.contains("unexpected interrupt: vector 49,"), "{run}");
}

fn without_faults_nothing_strikes() {
    let run = jitterbug("run spin --cpus 2 --timeout 300ms").ends_with(0);
    assert!(!run.stderr.contains("struck") && !run.stdout.contains("vector"), "{run}");
    let report = jitterbug("run spin --cpus 2 --timeout 300ms --json").ends_with(0).json();
    assert!(report["boots"][0].get("faults").is_none(), "{report}");
}

fn what_never_struck_is_an_error() {
    jitterbug("run spin --cpus 2 --timeout 300ms --fault nmi:at=1h").ends_with(2).says(&[
        "struck 0 of 0 times",
        "--fault nmi:at=1h: it never struck: the run ended before its time came",
    ]);
    // Its local APICs are disabled.
    jitterbug("run spin --cpus 2 --timeout 300ms --fault irq-spurious:vector=0x21,at=10ms")
        .ends_with(2)
        .says(&["struck 0 of 0 times"]);
    jitterbug("run hello --cpus 1 --fault nmi:at=mark+1h").ends_with(2).says(&["it never struck"]);
}

fn each_run_is_counted() {
    let report = jitterbug("run --cpus 2 --repeat 2 --json --fault nmi:at=mark,every=1ms,times=3")
        .arg(&*image("disturbed"))
        .within(120)
        .ends_with(0)
        .json();
    assert_eq!(report["machine"]["faults"][0], "nmi:at=mark,every=1ms,times=3");
    for boot in report["boots"].as_array().unwrap() {
        assert_eq!(boot["faults"][0]["struck"], 3);
        assert_eq!(boot["faults"][0]["matched"], 3);
    }
}

fn misuse_is_named() {
    let cases = [
        ("run hello --fault nmi", "when? Give at=TIME"),
        ("run hello --fault nmi:at=5", "at=5: give a time such as 5ms"),
        ("run hello --fault nmi:at=5ms,times=2", "`times` needs `every`"),
        ("run hello --fault nmi:every=1us", "every=1us: times go from 10us to 60s"),
        ("run hello --cpus 2 --fault nmi:at=5ms,vcpu=2", "there is no vCPU 2"),
        ("run hello --fault ipi-drop", "`hunt` has this fault"),
        ("hunt hello --fault nmi:at=5ms", "the search chooses when: leave out `at`"),
        ("hunt hello --fault nmi:p=0.5", "the search chooses when: leave out `p`"),
        ("run hello --explain --fault nmi:at=5ms", "see `hunt --fault`"),
    ];
    for (command, message) in cases {
        jitterbug(command).ends_with(2).says(&[message]);
    }
}

fn a_page_fault_has_its_address() {
    let page_fault = "exception:vector=14,vcpu=0,error=2,address=0xdead000,at=";
    let fault = format!("{page_fault}mark,every=1ms,times=3");
    jitterbug("run --cpus 1 --timeout 60s --fault")
        .arg(fault)
        .arg(&*image("disturbed"))
        .within(90)
        .ends_with(0)
        .shows("cr2 0xdead000\n");
    let run = jitterbug("run --cpus 1 --timeout 60s --fault")
        .arg(format!("{page_fault}mark"))
        .arg(&*image("corruptible"))
        .within(90)
        .ends_with(1);
    let told = "unexpected exception: vector 14, error code 0x2, ";
    assert!(run.stdout.contains(told) && run.stdout.contains("cr2 0xdead000"), "{run}");
}

fn a_vcpu_that_is_held_for_too_long() {
    let run = |fault: &str, status| {
        jitterbug(&format!("run --cpus 2 --timeout 60s {fault}"))
            .arg(&*image("impatient"))
            .within(90)
            .ends_with(status)
    };
    run("", 0);
    run("--fault vcpu-stall:vcpu=1,at=mark,for=20ms", 0).says(&["struck 1 of 1 times"]);
    let late = run("--fault vcpu-stall:vcpu=1,at=mark,for=10s", 1).says(&["struck 1 of 1 times"]);
    assert!(late.stdout.contains("CPU 1 has no heartbeat"), "{late}");
}

fn a_vcpu_that_starts_late_or_never() {
    jitterbug("run hello --cpus 2 --timeout 60s --fault vcpu-start:vcpu=1,for=3s")
        .within(90)
        .ends_with(0)
        .says(&["struck 1 of 1 times"]);
    jitterbug("run hello --cpus 2 --timeout 60s --watchdog 1s --fault vcpu-start:vcpu=1")
        .within(90)
        .ends_with(1)
        .says(&["hang: ", "struck 1 of 1 times"]);
    // This guest starts no other vCPU.
    jitterbug("run --cpus 2 --fault vcpu-start:vcpu=1")
        .arg(&*image("registers"))
        .ends_with(2)
        .says(&["struck 0 of 0 times", "it never struck"]);
}

fn bits_of_memory_change() {
    let run = |fault: &str, status| {
        jitterbug("run --cpus 1 --timeout 60s --fault")
            .arg(fault)
            .arg(&*image("corruptible"))
            .within(90)
            .ends_with(status)
    };
    run("bit-flip:symbol=copies+8,bit=35,at=mark", 0).shows("repaired 0x800000000\n");
    let run_of_one = run("bit-flip:symbol=single,at=20ms", 1).says(&["struck 1 of 1 times"]);
    assert!(run_of_one.stdout.contains("a single value has changed"), "{run_of_one}");
    run("bit-flip:symbol=sungle,at=20ms", 2).says(&["has no symbol sungle; did you mean single?"]);
    jitterbug("run --cpus 1 --timeout 300ms").arg(&*image("corruptible")).ends_with(0).shows("");
    jitterbug("run --cpus 1 --timeout 300ms --fault bit-flip:address=0x123456789000,at=1ms")
        .arg(&*image("corruptible"))
        .ends_with(2)
        .says(&["struck 0 of 0 times", "its page tables must map an address"]);
}

fn registers_are_refused_or_lie() {
    let run = |fault: &str, status| {
        jitterbug(&format!("run --cpus 1 --timeout 60s {fault}"))
            .arg(&*image("registers"))
            .within(90)
            .ends_with(status)
    };
    run("", 0).shows("");
    run("--fault msr-fail:msr=0x1b,nth=1", 0)
        .shows("no such register\n")
        .says(&["struck 1 of 2 accesses that match"]);
    let refused = run("--fault msr-fail:msr=0x1b,nth=2", 1);
    assert!(refused.stdout.contains("vector 13, error code 0x0"), "{refused}");
    run("--fault msr-lie:msr=0x1b,value=0xfee00800", 0).says(&["struck 2 of 2 accesses"]);
    let lied = run("--fault msr-lie:msr=0x1b,value=0", 1);
    assert!(lied.stdout.contains("the local APIC is somewhere else"), "{lied}");
    run("--fault msr-fail:msr=0x1b,op=write", 2).says(&["the guest made no such access"]);
    run("--fault msr-fail:msr=0x802", 2).says(&["0x802", "x2APIC"]);
}

/// A host that can't do it says so before the guest runs.
fn clocks_that_differ() {
    let guest = image("two-clocks");
    let run = |fault: &str| {
        jitterbug("run --cpus 2 --timeout 60s --fault").arg(fault).arg(&*guest).within(90).start()
    };
    let (status, refused) = run("tsc-offset:vcpu=1,by=10s").ends_with_any(&[1, 3]);
    if status == 3 {
        refused.says(&["KVM_VCPU_TSC_OFFSET"]);
        run("tsc-jump:vcpu=1,by=10s,at=mark").ends_with(3).says(&["KVM_VCPU_TSC_OFFSET"]);
        return;
    }
    assert!(refused.stdout.contains("the clocks differ"), "{refused}");
    run("tsc-offset:vcpu=1,by=-100ms").ends_with(0).says(&["struck 1 of 1 times"]);
    let back = run("tsc-jump:vcpu=0,by=-5s,at=mark").ends_with(1);
    assert!(back.stdout.contains("violated: "), "{back}");
}

fn kvm_s_clock_jumps() {
    let run = |options: &str, status| {
        jitterbug(&format!("run --cpus 1 --timeout 60s {options}"))
            .arg(&*image("kvm-clock"))
            .within(90)
            .ends_with(status)
    };
    run("--identity kvm", 0);
    run("--identity kvm --fault clock-jump:by=200ms,at=mark+1ms", 0).says(&["struck 1 of 1"]);
    let ahead = run("--identity kvm --fault clock-jump:by=1h,at=mark+1ms", 1);
    assert!(ahead.stdout.contains("the clock jumped"), "{ahead}");
    run("--fault clock-jump:by=1h,at=mark", 2).says(&["only with --identity kvm"]);
}

fn a_symbol_is_when() {
    jitterbug("run hello --cpus 2 --timeout 60s --fault vcpu-stall:at=symbol:main,for=20ms")
        .within(90)
        .ends_with(0)
        .says(&["struck 1 of 1 times"]);
    // vCPU 0 has printed its line by then. Another vCPU could end the run in the middle of it.
    jitterbug("run spin --cpus 3 --timeout 60s")
        .arg("--fault")
        .arg("exception:vector=13,vcpu=0,at=symbol:spin_outer")
        .within(90)
        .ends_with(1)
        .says(&["vCPU 0: is in exit+", " < trap+", "struck 1 of 1 times"]);
    jitterbug("run spin --cpus 3 --timeout 60s --fault nmi:at=symbol:spin_middle,nth=3")
        .within(90)
        .ends_with(1)
        .says(&["struck 1 of 1 times"]);
    jitterbug("run hello --cpus 2 --fault nmi:at=symbol:violated")
        .ends_with(2)
        .says(&["it never struck", "no vCPU executed its symbol"]);
    jitterbug("run hello --cpus 2 --fault nmi:at=symbol:vialated")
        .ends_with(2)
        .says(&["has no symbol vialated"]);
}
