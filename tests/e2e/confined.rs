//! The claim: a machine runs in a program that can make only the system calls and open only the
//! files that it needs, in all its threads, unless the user turns that off.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::{Invocation, PROGRAM, Running, jitterbug};
use crate::scratch::Folder;

tests! {
    Kvm: every_thread_is_filtered, what_confines_can_be_turned_off, a_search_is_filtered,
        a_dump_goes_where_dumps_may_be, what_the_doctor_says;
}

/// The state of a thread, from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Thread {
    filters: u32,
    no_new_privs: bool,
}

/// The threads of a process by name.
fn threads(running: &Running) -> BTreeMap<String, Thread> {
    let tasks =
        fs::read_dir(format!("/proc/{}/task", running.id())).into_iter().flatten().flatten();
    let thread = |folder: std::path::PathBuf| {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().to_owned())
        };
        let filters = field("Seccomp_filters:")?.parse().ok()?;
        let no_new_privs = field("NoNewPrivs:")? == "1";
        Some((field("Name:")?, Thread { filters, no_new_privs }))
    };
    // KVM has a thread of the kernel in the process, which runs none of the program's code.
    let is_ours = |(name, _): &(String, Thread)| !name.starts_with("kvm-");
    tasks.filter_map(|task| thread(task.path())).filter(is_ours).collect()
}

/// Starts a machine with clients' sockets, and waits until its vCPUs run.
fn start(folder: &Folder, options: &str) -> Running {
    let spins = jitterbug(&format!("run spin --cpus 2 --watchdog off {options}"));
    let running = spins.arg("--ctl").arg(folder.join("ctl")).start();
    running.does("its vCPUs", || {
        let threads = threads(&running);
        ["vcpu0", "vcpu1", "ctl"].iter().all(|name| threads.contains_key(*name))
    });
    running
}

fn every_thread_is_filtered() {
    let folder = Folder::new();
    let running = start(&folder, "");
    // Two for all threads (one of them answers clone3), one more for those of vCPUs.
    let expected = |name: &str| if name.starts_with("vcpu") { 3 } else { 2 };
    running.does("filters in all threads", || {
        let threads = threads(&running);
        let is_filtered = |(name, thread): (&String, &Thread)| {
            *thread == Thread { filters: expected(name), no_new_privs: true }
        };
        threads.iter().all(is_filtered)
    });
    let names: Vec<String> = threads(&running).into_keys().collect();
    for name in ["jitterbug", "writer", "signals", "ctl", "stopped", "vcpu0", "vcpu1"] {
        assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    running.signal(Signal::SIGINT);
    running.ends_with(130);
}

fn what_confines_can_be_turned_off() {
    let folder = Folder::new();
    let running = start(&folder, "--no-seccomp --no-landlock");
    let filtered = threads(&running).into_iter().find(|(_, thread)| thread.filters > 0);
    assert_eq!(filtered, None);
    running.signal(Signal::SIGINT);
    running.ends_with(130);
}

fn a_search_is_filtered() {
    let folder = Folder::new();
    let running = jitterbug("hunt hello --jobs 2 --out").arg(&*folder).start();
    running.does("filtered threads that search", || {
        let threads = threads(&running);
        let of_search = threads.iter().filter(|(name, _)| name.starts_with("hunt"));
        of_search.clone().count() > 0 && of_search.clone().all(|(_, thread)| thread.filters == 2)
    });
    running.signal(Signal::SIGINT);
    running.ends_with(130);
}

/// Runs a script that dumps, in a folder with another one for temporary files.
fn dump(folder: &Folder, to: &str, options: &[&str]) -> Invocation {
    for name in ["here", "temporary", "elsewhere"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder.join("here")).env("TMPDIR", folder.join("temporary"));
    let script = format!(r#"Out /!n/ {{ n = 1; dump("{to}"); }}"#);
    command.args(["run", "hello", "--destructive", "-e", &script]).args(options);
    Invocation::new(command)
}

fn a_dump_goes_where_dumps_may_be() {
    let folder = Folder::new();
    let elsewhere = folder.join("elsewhere/core");
    let elsewhere = elsewhere.to_str().expect("a path");
    for (number, to) in (1..).zip(["core", folder.join("temporary/core").to_str().unwrap()]) {
        dump(&folder, to, &[]).ends_with(0).says(&["dumped to "]);
        let cores = ["here/core", "temporary/core"].map(|name| folder.join(name).exists());
        assert_eq!(cores.iter().filter(|it| **it).count(), number);
    }
    dump(&folder, elsewhere, &[]).ends_with(2).says(&["Permission denied", "--no-landlock"]);
    assert!(!folder.join("elsewhere/core").exists());
    dump(&folder, elsewhere, &["--no-landlock"]).ends_with(0).says(&["dumped to "]);
    assert!(folder.join("elsewhere/core").exists());
}

fn what_the_doctor_says() {
    let report = jitterbug("doctor --json").within(60).ends_with(0).json();
    for means in ["seccomp", "landlock"] {
        assert!(report["confinement"][means].is_boolean(), "{report}");
    }
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    assert_eq!(report["confinement"]["seccomp"], status.contains("Seccomp_filters:"));
}
