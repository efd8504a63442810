//! The claim: Ctrl-C and `kill` end a run in order: status 0, the last probes fire, a report comes.

use nix::sys::signal::Signal;

use crate::harness::jitterbug;

tests! {
    Kvm: sigint, sigterm, while_repeating, with_json;
}

fn ends_in_order(signal: Signal, status: i32) {
    let running = jitterbug("run spin --cpus 3")
        .probe(r#"(vprobe VMMUnload (printf "unload %d\n" VCPUID))"#)
        .start();
    running.prints("spin: 3 vCPUs up\n");
    running.signal(signal);
    running.ends_with(status).says(&["unload 0\n", "unload 1\n", "unload 2\n", "interrupted"]);
}

fn sigint() {
    ends_in_order(Signal::SIGINT, 130);
}

fn sigterm() {
    ends_in_order(Signal::SIGTERM, 143);
}

/// The run that was cut short doesn't count.
fn while_repeating() {
    let running =
        jitterbug("run hello --until-failure").probe(r#"VMMLoad { printf("boots\n"); }"#).start();
    running.reports_often("boots\n", 8);
    running.signal(Signal::SIGINT);
    running.ends_with(130).shows("").says(&["jitterbug: interrupted: 0 of ", " runs failed"]);
}

fn with_json() {
    let running =
        jitterbug("run spin --json").probe(r#"(vprobe VMM10Hz (printf "tick\n"))"#).start();
    running.reports("tick\n");
    running.signal(Signal::SIGTERM);
    let run = running.ends_with(143);
    assert_eq!(run.json()["interrupted"], true, "{run}");
    assert_eq!(run.json()["boots"][0]["result"], "interrupted", "{run}");
}
