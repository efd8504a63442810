//! The claim: with `--json` one document is on standard output and nothing else, however the run
//! ends. It contains the console.

use serde_json::Value;

use crate::harness::jitterbug;
use crate::image;

tests! {
    Kvm: success, failure, a_time_limit, repeated, script_output, the_machine_is_described,
        nothing_for_wrong_usage;
}

fn only_run(report: &Value) -> &Value {
    assert_eq!(report["boots"].as_array().map(Vec::len), Some(1), "{report}");
    &report["boots"][0]
}

fn success() {
    let run = jitterbug("run hello --cpus 2 --json").ends_with(0);
    let report = run.json();
    assert_eq!(report["failed"], 0, "{run}");
    let boot = only_run(&report);
    assert_eq!(boot["result"], "success", "{run}");
    assert_eq!(boot["console"], "hello: 2 vCPUs up, hypervisor VMwareVMware\n", "{run}");
    assert!(boot["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{run}");
    assert!(boot["guest_exits"].as_u64().is_some_and(|exits| exits > 40), "{run}");
    assert_eq!(boot["vcpus"].as_array().map(Vec::len), Some(2), "{run}");
}

fn failure() {
    let guest = image::print_and_exit("a \"quoted\" word\n", 3);
    let run = jitterbug("run --json").image(&guest).ends_with(1);
    let report = run.json();
    assert_eq!(report["failed"], 1, "{run}");
    let boot = only_run(&report);
    assert_eq!(boot["result"], "guest-failure", "{run}");
    assert_eq!(boot["failed"], true, "{run}");
    assert_eq!(boot["console"], "a \"quoted\" word\n", "{run}");
    assert!(boot["verdict"].as_str().is_some_and(|text| text.contains('3')), "{run}");
    let rip = boot["vcpus"][0]["state"]["registers"]["rip"].as_str();
    assert!(rip.is_some_and(|rip| rip.starts_with("0x1000")), "{run}");
}

fn a_time_limit() {
    let run = jitterbug("run spin --timeout 300ms --json").ends_with(0);
    let report = run.json();
    let boot = only_run(&report);
    assert_eq!((&boot["result"], &boot["failed"]), (&"time-limit".into(), &false.into()), "{run}");
}

fn repeated() {
    let run = jitterbug("run hello --repeat 3 --seed 40 --json").ends_with(0);
    let report = run.json();
    let seeds: Vec<&Value> =
        report["boots"].as_array().expect("runs").iter().map(|boot| &boot["seed"]).collect();
    assert_eq!(seeds, [40, 41, 42], "{run}");
}

fn script_output() {
    let run = jitterbug("run hello --cpus 2 --json")
        .probe(
            r#"(defstring s)
               (vprobe VMMLoad (printf "load %d\n" VCPUID))
               (vprobe VMMUnload (gueststack s) (printf "%s\n" s))"#,
        )
        .ends_with(0);
    let report = run.json();
    let boot = only_run(&report);
    let lines = boot["script_output"].as_array().expect("lines");
    assert_eq!(lines.len(), 4, "{run}");
    for vcpu in 0..2 {
        let mut own = lines.iter().filter(|line| line["vcpu"] == vcpu);
        assert_eq!(own.next().expect("a line")["text"], format!("load {vcpu}"), "{run}");
        let stack = own.next().expect("another");
        assert!(stack["text"].as_str().is_some_and(|text| text.starts_with("GUEST_0x")), "{run}");
        assert!(stack["stack"].as_str().is_some_and(|text| text.contains("+0x")), "{run}");
    }
    let firings: Vec<&Value> =
        boot["probes"].as_array().expect("probes").iter().map(|probe| &probe["firings"]).collect();
    assert_eq!(firings, [2, 2], "{run}");
}

fn the_machine_is_described() {
    let run =
        jitterbug("run hello --cpus 3 --mem 64M --identity kvm --cmdline x=1 --json").ends_with(0);
    let machine = &run.json()["machine"];
    assert_eq!(machine["guest"], "hello", "{run}");
    assert_eq!(machine["cpus"], 3, "{run}");
    assert_eq!(machine["memory"], "64M", "{run}");
    assert_eq!(machine["identity"], "kvm", "{run}");
    assert_eq!(machine["command_line"], "x=1", "{run}");
}

fn nothing_for_wrong_usage() {
    jitterbug("run hello --cpus 0 --json").ends_with(2).shows("");
    jitterbug("run no-such-guest --json").ends_with(2).shows("");
    jitterbug("run hello --json --kvm /nonexistent").ends_with(3).shows("");
}
