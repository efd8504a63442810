//! The claim: a guest boots with 1 to 64 vCPUs under each identity, standard output has its console
//! and nothing else, and no vCPU is ever lost while they start.

use crate::harness::jitterbug;

tests! {
    Kvm: one_vcpu_unless_told_otherwise, two_vcpus, six_vcpus, as_many_as_there_can_be, identities,
        six_vcpus_fifty_times, any_amount_of_memory;
}

fn hello(arguments: &str, vcpus: u32, hypervisor: &str) {
    jitterbug(&format!("run hello {arguments}"))
        .ends_with(0)
        .shows(&format!("hello: {vcpus} vCPUs up, hypervisor {hypervisor}\n"))
        .says(&["jitterbug: the guest ended the run: success"]);
}

fn one_vcpu_unless_told_otherwise() {
    hello("", 1, "VMwareVMware");
}

fn two_vcpus() {
    hello("--cpus 2", 2, "VMwareVMware");
}

fn six_vcpus() {
    hello("--cpus 6", 6, "VMwareVMware");
}

fn as_many_as_there_can_be() {
    hello("--cpus 64", 64, "VMwareVMware");
}

fn identities() {
    hello("--identity vmware", 1, "VMwareVMware");
    hello("--identity kvm --cpus 2", 2, "KVMKVMKVM");
    hello("--identity none", 1, "none");
}

/// KVM has been observed to lose the INIT or the SIPI of the last vCPU.
fn six_vcpus_fifty_times() {
    jitterbug("run hello --cpus 6 --repeat 50")
        .within(60)
        .ends_with(0)
        .shows("")
        .says(&["jitterbug: 0 of 50 runs failed"]);
}

/// 5 GiB are on both sides of the devices' addresses.
fn any_amount_of_memory() {
    for size in ["8M", "65536K", "3G", "5G"] {
        hello(&format!("--mem {size}"), 1, "VMwareVMware");
    }
}
