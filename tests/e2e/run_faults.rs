//! The claim: in real time, a fault strikes the vCPU that it names when its time has come and at no
//! other, is counted, and is an error if it never did. A guest that expects it survives it.

use crate::cases::image;
use crate::harness::jitterbug;

tests! {
    Kvm: misuse_is_named, who_expects_it_survives, who_does_not_expect_it_fails, without_faults_nothing_strikes,
        what_never_struck_is_an_error, each_run_is_counted;
}

fn who_expects_it_survives() {
    let faults = [
        "nmi:at=mark,every=2ms,times=3",
        // It wakes a vCPU that sleeps.
        "nmi:vcpu=1,every=2ms,times=3",
        "irq-spurious:vcpu=0,vector=0x21,at=mark+1ms,every=2ms,times=3",
        "irq-spurious:vcpu=1,vector=0x21,every=2ms,times=3",
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
        let run =
            jitterbug(&format!("run spin --cpus 2 --timeout 60s --fault nmi:vcpu={vcpu},at=100ms"))
                .within(90)
                .ends_with(1)
                .says(&["struck 1 of 1 times"]);
        let told = format!("cpu {vcpu}\n");
        assert!(run.stdout.contains("vector 2,") && run.stdout.contains(&told), "{run}");
        assert!(!run.stderr.contains("hunt spin"), "a search has no such fault: {run}");
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
    let report = jitterbug("run --cpus 2 --repeat 2 --json --fault nmi:at=5ms,every=1ms,times=3")
        .arg(&*image("disturbed"))
        .within(120)
        .ends_with(0)
        .json();
    assert_eq!(report["machine"]["faults"][0], "nmi:at=5ms,every=1ms,times=3");
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
