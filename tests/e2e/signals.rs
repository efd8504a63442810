//! The claim: Ctrl-C and `kill` end a run in order: the status says so, the last probes fire, and a
//! report is printed.

use nix::sys::signal::Signal;

use crate::harness::jitterbug;
use crate::image;
use crate::replay_scripts::find;
use crate::scratch::Folder;

tests! {
    Kvm: sigint, sigterm, while_repeating, while_a_run_ends, while_replaying, with_json;
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

/// The run that was interrupted doesn't count.
fn while_repeating() {
    let running =
        jitterbug("run hello --until-failure").probe(r#"VMMLoad { printf("boots\n"); }"#).start();
    running.reports_often("boots\n", 8);
    running.signal(Signal::SIGINT);
    running.ends_with(130).shows("").says(&["jitterbug: interrupted: 0 of ", " runs failed"]);
}

/// Such short runs are in the process of ending most of the time.
fn while_a_run_ends() {
    for boots in 1..=24 {
        let running = jitterbug("run --repeat 1000000 --watchdog off")
            .image(&image::exit(0))
            .probe(r#"VMMUnload { printf("ends\n"); }"#)
            .start();
        running.reports_often("ends\n", boots);
        running.signal(Signal::SIGINT);
        running.ends_with(130).says(&["jitterbug: interrupted: 0 of "]);
    }
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

fn while_replaying() {
    let folder = Folder::new();
    let finding = find(&folder, "lost-update");
    let replays = || {
        let running = jitterbug("replay --repeat 1000000 --json").arg(&finding);
        let running = running.probe(r#"VMMLoad { printf("again\n"); }"#).start();
        running.reports_often("again\n", 3);
        running
    };
    let running = replays();
    running.signal(Signal::SIGINT);
    let run = running.ends_with(130).says(&["interrupted: ", " of 1000000 replays were made"]);
    let report = run.json();
    assert_eq!(report["interrupted"], true, "{run}");
    assert!(report["runs"].as_u64().is_some_and(|runs| runs > 0), "{run}");
    let running = replays();
    running.signal(Signal::SIGTERM);
    running.ends_with(143);
}
