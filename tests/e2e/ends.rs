//! The claim: whatever ends a run is reported in one clear message, within seconds, with the right
//! status.

use crate::harness::jitterbug;
use crate::image;

tests! {
    Kvm: success_of_a_file, the_time_limit_is_no_failure, a_failure_code_of_the_guest,
        a_triple_fault, a_triple_fault_of_an_ap, power_off, a_reset, a_time_limit_that_is_short;
    KvmWithoutSse: an_instruction_that_kvm_cant_emulate;
}

fn success_of_a_file() {
    jitterbug("run").image(&image::print_and_exit("fine\n", 0)).ends_with(0).shows("fine\n");
}

fn the_time_limit_is_no_failure() {
    jitterbug("run spin --timeout 1s").within(10).ends_with(0).says(&["time limit reached"]);
}

fn a_time_limit_that_is_short() {
    // A guest that prints may then be in the middle of a line.
    jitterbug("run --timeout 1ms --watchdog off")
        .image(&image::halt())
        .within(10)
        .ends_with(0)
        .says(&["time limit reached"]);
}

fn a_failure_code_of_the_guest() {
    for code in [1, 3, 0xdead_beef] {
        jitterbug("run")
            .image(&image::print_and_exit("so it ends\n", code))
            .within(10)
            .ends_with(1)
            .shows("so it ends\n")
            .says(&[&format!("the guest ended the run with failure code {code}\n")]);
    }
}

fn a_triple_fault() {
    let run = jitterbug("run").image(&image::triple_fault()).within(10).ends_with(1).shows("");
    // The registers of a vCPU that KVM has reset are not those of the triple fault.
    let run = run.says(&["vCPU 0: triple fault"]);
    let shown: Vec<_> = run.lines_with("  rip ").collect();
    let lost = run.lines_with("vCPU 0: has been reset, as KVM does").count();
    assert_eq!(shown.len() + lost, 1, "{run}");
    assert!(shown.iter().all(|rip| !rip.starts_with("000000000000fff0")), "{run}");
}

fn power_off() {
    let off = || image::write_port(0x605, 0x20);
    let said = "the guest powered the machine off";
    jitterbug("run").image(&off()).ends_with(0).says(&[said]);
    jitterbug("run --ok ready").image(&off()).ends_with(1).says(&["before anything that --ok"]);
    let found = jitterbug("hunt --runs 3 --granularity instruction").image(&off()).ends_with(0);
    found.says(&["0 failed, 0 cut short"]);
    let report = jitterbug("run --json").image(&off()).ends_with(0).json();
    assert_eq!(report["boots"][0]["result"], "power-off");
}

fn a_reset() {
    let said = "the guest reset the machine";
    for (port, value) in [(0xcf9, 0x06), (0x64, 0xfe)] {
        jitterbug("run").image(&image::write_port(port, value)).ends_with(0).says(&[said]);
    }
    jitterbug("run --cpus 2").image(&image::jump_to_the_reset_vector()).ends_with(0).says(&[said]);
}

fn a_triple_fault_of_an_ap() {
    jitterbug("run --cpus 2")
        .image(&image::triple_fault_on_ap())
        .within(10)
        .ends_with(1)
        .shows("")
        .says(&["vCPU 1: triple fault"]);
}

fn an_instruction_that_kvm_cant_emulate() {
    jitterbug("run").image(&image::sse()).within(10).ends_with(1).shows("").says(&[
        "vCPU 0: KVM internal error",
        "addps",
        "0f 58 c1",
    ]);
}
