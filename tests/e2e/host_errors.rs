//! The claim: if the host lacks something, the message names it and the remedy. The status is 3.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::{Invocation, PROGRAM, jitterbug, limited};
use crate::scratch::{Folder, ScratchFile};

tests! {
    Nothing: no_device, a_device_that_is_not_kvm;
    Kvm: no_file_descriptors_left, no_address_space_left;
    KvmWithoutInt3: no_int3_for_linux;
    OtherUser: no_permission;
    LimitedUser: no_threads_left_for_vcpus, no_thread_left_for_kvm, no_thread_left_for_scripts;
}

/// Linux tries INT3 when it boots. It is not started where that can't work.
fn no_int3_for_linux() {
    let kernel = include_bytes!("../../vmm/testdata/linux.bzimage");
    let kernel = ScratchFile::new("vmlinuz", kernel);
    let run = jitterbug("run").arg(&*kernel).ends_with(3).shows("");
    run.says(&["no working INT3 instruction in ring 0", "boot Linux", "--bed"]);
}

fn no_device() {
    for command in ["run hello", "doctor"] {
        jitterbug(command).arg("--kvm").arg("/nonexistent").ends_with(3).shows("").says(&[
            "/nonexistent: no such device",
            "kvm-intel",
            "--kvm",
            "--bed",
        ]);
    }
}

fn a_device_that_is_not_kvm() {
    for device in ["/dev/null", "/tmp"] {
        jitterbug("run hello --kvm")
            .arg(device)
            .ends_with(3)
            .shows("")
            .says(&[device, "KVM device"]);
    }
}

/// A user who may write nothing.
pub(crate) const NOBODY: u32 = 65534;

/// A folder with a copy of the program that every user can run.
pub(crate) fn program_for_everybody() -> Folder {
    let folder = Folder::new();
    let program = folder.join("jitterbug");
    fs::copy(PROGRAM, &program).expect("a copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

fn no_permission() {
    let folder = program_for_everybody();
    let mut command = Command::new(folder.join("jitterbug"));
    command.args(["run", "hello"]).uid(NOBODY).gid(NOBODY).current_dir("/");
    let says = ["/dev/kvm: no permission", "group kvm", "--bed"];
    Invocation::new(command).ends_with(3).shows("").says(&says);
}

/// Runs `hello` as a user who has a KVM device, but not enough threads. Root has no such limit.
fn with_threads(threads: u32, arguments: &[&str]) {
    let folder = program_for_everybody();
    let device = folder.join("kvm");
    let made = Command::new("mknod").arg(&device).args(["c", "10", "232"]).status();
    assert!(made.is_ok_and(|status| status.success()), "mknod");
    let user = user_without_processes();
    chown(&device, Some(user), Some(user)).expect("the device's owner");
    let mut command = Command::new("prlimit");
    command.arg(format!("--nproc={threads}")).args(["setpriv", "--clear-groups"]);
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}"));
    command.arg(folder.join("jitterbug")).arg("run").arg("hello").arg("--kvm").arg(&device);
    command.args(["--timeout", "3s"]).args(arguments).current_dir("/");
    Invocation::new(command).within(10).ends_with(3).shows("").says(&["thread"]);
}

/// Threads are counted for each user, over all of the user's programs.
fn user_without_processes() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    60_000 + (std::process::id() * 8 + NEXT.fetch_add(1, Ordering::Relaxed)) % 4000
}

fn no_threads_left_for_vcpus() {
    for (threads, vcpus) in [(1, "1"), (1, "64"), (40, "64"), (64, "64")] {
        with_threads(threads, &["--cpus", vcpus]);
    }
}

/// KVM makes a thread of its own when a machine's first vCPU runs.
fn no_thread_left_for_kvm() {
    with_threads(2, &["--cpus", "1"]);
}

/// A separate thread writes what scripts print.
fn no_thread_left_for_scripts() {
    with_threads(1, &["-e", r#"(vprobe VMMLoad (printf "x\n"))"#]);
}

fn no_file_descriptors_left() {
    for limit in [6, 7, 8, 9, 10, 12, 20, 40, 66] {
        limited(&format!("ulimit -n {limit}"), "run hello --cpus 64")
            .ends_with(3)
            .shows("")
            .says(&["Too many open files"]);
    }
    limited("ulimit -n 40", "run hello --cpus 64").ends_with(3).says(&[
        "vCPU ",
        "ulimit -n",
        "--cpus",
    ]);
}

fn no_address_space_left() {
    limited("ulimit -v 500000", "run hello --mem 4G")
        .ends_with(3)
        .shows("")
        .says(&["guest memory", "smaller --mem"]);
}
