//! The claim: with `--bed` the same command runs in a machine with a real kvm-amd: files are
//! carried in and out, streams and the exit status pass through, and what is missing is reported by
//! name.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::{Invocation, jitterbug};
use crate::image;
use crate::scratch::Folder;

tests! {
    Bed: a_guest_of_the_catalogue, a_file_and_its_input, a_finding_comes_out_and_replays,
        its_errors_are_the_same, an_interrupt_ends_it_in_order;
    Nothing: without_qemu, without_apt, intel_without_apt, a_host_that_is_not_there;
}

/// The machine boots in 5 s if no other process needs the processor.
fn in_bed(arguments: &str) -> Invocation {
    jitterbug(arguments).arg("--bed").within(100)
}

fn a_guest_of_the_catalogue() {
    in_bed("run hello --cpus 2")
        .ends_with(0)
        .shows("hello: 2 vCPUs up, hypervisor VMwareVMware\n")
        .says(&["jitterbug: runs in the test bed", "the guest ended the run: success"]);
}

fn a_file_and_its_input() {
    let scripts = Folder::new();
    let script = scripts.file("load.vp", r#"(vprobe VMMLoad (printf "load %d\n" VCPUID))"#);
    in_bed("run")
        .arg(format!("--probe={}", script.display()))
        .image(&image::echo(8))
        .input("through\n")
        .ends_with(0)
        .shows("through\n")
        .says(&["load 0\n"]);
}

/// A finding of the test bed is reproduced on this host, if it has KVM, and in the test bed.
fn a_finding_comes_out_and_replays() {
    let folder = Folder::new();
    let report =
        in_bed("hunt abba --runs 500 --json").arg("--out").arg(&*folder).ends_with(1).json();
    let file = report["findings"][0]["file"].as_str().expect("a file");
    assert!(fs::metadata(file).is_ok(), "{file} didn't come out: {report:#}");
    let reproduced = "jitterbug: reproduced: proven hang";
    if crate::needs::Needs::Kvm.unmet().is_none() {
        jitterbug("replay").arg(file).ends_with(0).says(&[reproduced]);
    }
    in_bed("replay").arg(file).ends_with(0).says(&[reproduced]);
}

fn its_errors_are_the_same() {
    in_bed("run no-such-guest").ends_with(2).shows("").says(&["no-such-guest: neither a file"]);
}

fn an_interrupt_ends_it_in_order() {
    let running = in_bed("run spin --cpus 2").start();
    running.prints("spin: 2 vCPUs up\n");
    running.signal(Signal::SIGINT);
    running.ends_with(130).says(&["interrupted"]);
}

/// `--bed` with a search path that consists of this folder alone.
fn with_path(bed: &str, path: &Folder, kept: &Folder) -> Invocation {
    let mut command = std::process::Command::new(crate::harness::PROGRAM);
    command.args(["run", "hello", bed]).env("PATH", &**path).env("JITTERBUG_BED", &**kept);
    Invocation::new(command)
}

fn without_qemu() {
    let (path, kept) = (Folder::new(), Folder::new());
    with_path("--bed", &path, &kept)
        .ends_with(3)
        .shows("")
        .says(&["qemu-system-x86_64", "apt-get install qemu-system-x86"]);
}

fn without_apt() {
    let (path, kept) = (Folder::new(), Folder::new());
    path.file("qemu-system-x86_64", "");
    with_path("--bed", &path, &kept).ends_with(3).shows("").says(&["apt-get", "Debian"]);
    assert_eq!(fs::read_dir(&*kept).expect("a folder").count(), 0, "something was left behind");
}

fn intel_without_apt() {
    let (path, kept) = (Folder::new(), Folder::new());
    with_path("--bed=intel", &path, &kept).ends_with(3).shows("").says(&["apt-get", "Debian"]);
    assert_eq!(fs::read_dir(&*kept).expect("a folder").count(), 0, "something was left behind");
}

fn a_host_that_is_not_there() {
    jitterbug("run hello --bed=arm").ends_with(2).shows("").says(&["'arm'", "amd, intel"]);
}
