//! Boots the images under QEMU's TCG, which needs nothing of the host but QEMU: jitterbug's guests are no jitterbug's alone.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use libtest_mimic::{Arguments, Failed, Trial};

const QEMU: &str = "qemu-system-x86_64";
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What isa-debug-exit makes of a guest's exit code 0.
const SUCCESS: i32 = 1;

/// Image, vCPUs, and what it prints there. QEMU's `pc` answers VMware's backdoor port.
const RUNS: &[(&str, u32, &[&str])] = &[
    ("hello", 1, &["hello: 1 vCPUs up, hypervisor TCGTCGTCGTCG"]),
    ("hello", 6, &["hello: 6 vCPUs up, hypervisor TCGTCGTCGTCG"]),
    ("spin", 6, &["spin: 6 vCPUs up"]),
    ("tsc-sync", 1, &["tsc-sync: starting 1 CPUs", "tsc-sync: 1 CPUs up, platform VMware"]),
    ("tsc-sync", 6, &["tsc-sync: starting 6 CPUs", "tsc-sync: 6 CPUs up, platform VMware"]),
    (
        "tsc-sync-fixed",
        6,
        &["tsc-sync-fixed: starting 6 CPUs", "tsc-sync-fixed: 6 CPUs up, platform VMware"],
    ),
];

fn main() -> ExitCode {
    let installed = Command::new(QEMU)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !installed {
        eprintln!("{QEMU} is not installed: the tests that boot guests under it are IGNORED");
    }
    let tests = RUNS
        .iter()
        .map(|&(name, cpus, lines)| {
            Trial::test(format!("qemu::{name}::{cpus}_vcpus"), move || run(name, cpus, lines))
                .with_ignored_flag(!installed)
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn run(name: &str, cpus: u32, expected: &[&str]) -> Result<(), Failed> {
    let guest = guests::find(name).ok_or("not in the catalogue")?;
    let mut qemu = Running(boot(guest, cpus)?);
    let deadline = Instant::now() + TIME_LIMIT;

    let console = lines_of(&mut qemu.0);
    for line in expected {
        let left = deadline.saturating_duration_since(Instant::now());
        match console.recv_timeout(left) {
            Ok(printed) if printed == *line => {}
            Ok(printed) => return Err(format!("expected {line:?}, printed {printed:?}").into()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("no {line:?} in {TIME_LIMIT:?}").into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("ended without {line:?}").into());
            }
        }
    }
    if guest.endless {
        return match qemu.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("ended, with {status}").into()),
        };
    }
    // The console closes when QEMU ends.
    match console.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(printed) => return Err(format!("printed {printed:?} at the end").into()),
        Err(RecvTimeoutError::Timeout) => return Err(format!("not ended in {TIME_LIMIT:?}").into()),
        Err(RecvTimeoutError::Disconnected) => {}
    }
    match qemu.0.wait()?.code() {
        Some(SUCCESS) => Ok(()),
        status => Err(format!("exit status {status:?} instead of {SUCCESS}").into()),
    }
}

fn boot(guest: &guests::Guest, cpus: u32) -> Result<Child, Failed> {
    let image =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{cpus}.elf", guest.name));
    fs::write(&image, guest.image)?;
    Ok(Command::new(QEMU)
        .args([
            "-M",
            "pc",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "128M",
            "-display",
            "none",
            "-nodefaults",
        ])
        .args(["-serial", "stdio", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .args(["-smp", &cpus.to_string(), "-append", &format!("cpus={cpus}"), "-kernel"])
        .arg(&image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?)
}

/// QEMU, ended at the latest when the test is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The console's lines, so that one can wait for them with a time limit.
fn lines_of(qemu: &mut Child) -> mpsc::Receiver<String> {
    let console = BufReader::new(qemu.stdout.take().expect("its stdout is piped"));
    let (to, from) = mpsc::channel();
    thread::spawn(move || console.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
    from
}
