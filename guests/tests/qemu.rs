//! Boots the images under QEMU's TCG, which needs nothing of the host but QEMU: jitterbug's guests are no jitterbug's alone.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use guests::Oracle;
use libtest_mimic::{Arguments, Failed, Trial};

const QEMU: &str = "qemu-system-x86_64";
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How often a guest is booted that has a bug, and how often its twin without it.
const BUGGY_RUNS: u32 = 3;
const FIXED_RUNS: u32 = 20;
/// A firmware, also QEMU's, that boots in half of the time.
const QUICK: &[&str] = &["-bios", "qboot.rom"];
/// Who is not through by then hangs: a boot takes 0.1 s on a quiet machine.
const HANG_LIMIT: Duration = Duration::from_secs(5);

/// What isa-debug-exit makes of a guest's exit code 0.
const SUCCESS: i32 = 1;
/// Of its 1, and its 2.
const VIOLATED: i32 = 3;
const EXCEPTION: i32 = 5;

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
    ("lost-update", 1, &["not raced: 1 vCPUs are too few, it takes 2"]),
    ("ap-stack", 2, &["not raced: 2 vCPUs are too few, it takes 3"]),
    ("seqlock-fixed", 6, &[]),
    // SeaBIOS leaves a timer running, which mustn't get through.
    ("lost-wakeup-fixed", 2, &[]),
    ("tlb-shootdown-fixed", 2, &[]),
    ("irq-mainline-fixed", 2, &[]),
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
    let claims = RUNS.iter().map(|&(name, cpus, lines)| {
        Trial::test(format!("qemu::{name}::{cpus}_vcpus"), move || run(name, cpus, lines))
    });
    let tests = claims
        .chain(guests::catalogue().iter().filter_map(twins).flatten())
        .map(|test| test.with_ignored_flag(!installed))
        .collect();
    for guest in guests::catalogue() {
        if let Err(e) = write(guest) {
            eprintln!("can't write {}: {e}", image(guest).display());
            return ExitCode::FAILURE;
        }
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// A guest with a bug, and the one without it.
fn twins(buggy: &'static guests::Guest) -> Option<[Trial; 2]> {
    let bug = buggy.bug.as_ref()?;
    let fixed = guests::find(bug.fixed_twin)?;
    Some([
        Trial::test(format!("qemu::{}::fails_only_by_its_oracle", buggy.name), move || {
            repeat(buggy, BUGGY_RUNS, &[End::Good, End::Bad(bug.oracle)])
        }),
        Trial::test(format!("qemu::{}::never_fails", fixed.name), move || {
            repeat(fixed, FIXED_RUNS, &[End::Good])
        }),
    ])
}

#[derive(Debug, PartialEq)]
enum End {
    Good,
    Bad(Oracle),
}

fn repeat(guest: &guests::Guest, runs: u32, allowed: &[End]) -> Result<(), Failed> {
    for run in 1..=runs {
        let mut qemu = Running(boot(guest, guest.default_cpus, QUICK)?);
        let end = end(&mut qemu.0)?;
        if !allowed.contains(&end) {
            return Err(format!("run {run} of {runs}: {end:?} instead of {allowed:?}").into());
        }
    }
    Ok(())
}

fn end(qemu: &mut Child) -> Result<End, Failed> {
    let deadline = Instant::now() + HANG_LIMIT;
    let console = lines_of(qemu);
    let mut printed = Vec::new();
    loop {
        match console.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => printed.push(line),
            Err(RecvTimeoutError::Timeout) => return Ok(End::Bad(Oracle::Hang)),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let reported = |words: &str| printed.iter().any(|line| line.contains(words));
    match qemu.wait()?.code() {
        Some(SUCCESS) if !reported("not raced") => Ok(End::Good),
        // QEMU is told to end where a machine would reset.
        Some(0) => Ok(End::Bad(Oracle::TripleFault)),
        Some(VIOLATED) if reported("violated: ") => Ok(End::Bad(Oracle::Report)),
        // A null pointer.
        Some(EXCEPTION) if reported("vector 14, ") => Ok(End::Bad(Oracle::Report)),
        status => Err(format!("exit status {status:?}, printed {printed:?}").into()),
    }
}

fn run(name: &str, cpus: u32, expected: &[&str]) -> Result<(), Failed> {
    let guest = guests::find(name).ok_or("not in the catalogue")?;
    let mut qemu = Running(boot(guest, cpus, &[])?);
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

/// Puts an image where QEMU finds it. nextest runs each test in a process of its own, at the same time:
/// by renaming, no QEMU ever reads half of what another process is writing.
fn write(guest: &guests::Guest) -> std::io::Result<()> {
    let part = image(guest).with_extension(std::process::id().to_string());
    fs::write(&part, guest.image)?;
    fs::rename(part, image(guest))
}

fn image(guest: &guests::Guest) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.elf", guest.name))
}

fn boot(guest: &guests::Guest, cpus: u32, options: &[&str]) -> Result<Child, Failed> {
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
        .arg(image(guest))
        .args(options)
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
