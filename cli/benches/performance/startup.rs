//! Measures `jitterbug run hello` from start to finish, in comparison with a minimal process with a
//! virtual machine, and with QEMU.
//!
//! The floors are this program itself, started with an environment variable: a separate process, in
//! Rust as jitterbug is, that makes only the necessary system calls.

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;

use crate::Failure;
use crate::contest::{Contestant, Plan, Rounds, hold};
use crate::image::{self, Program};
use crate::raw::{Raw, Synced};

const PLAN: Plan = Plan {
    name: "run hello",
    times: 1,
    samples: 15,
    warm_up: Duration::from_millis(500),
    measurement: Duration::from_secs(4),
    judged: 2,
    rate: None,
};

const QEMU: &str = "qemu-system-x86_64";
/// The exit status that isa-debug-exit makes of the guest's success.
const QEMU_SUCCESS: i32 = 1;
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The pauses before runs increase by this step, so that runs start at all phases of the host's
/// timer tick.
const STEP: Duration = Duration::from_micros(2_470);
const WRAP: Duration = Duration::from_millis(8);

/// The guest's output.
const GREETING: &str = "hello: 1 vCPUs up";

/// Names the floor that a process is, and its device.
const FLOOR: &str = "JITTERBUG_BENCH_FLOOR";
const DEVICE: &str = "JITTERBUG_BENCH_DEVICE";
const ONE_EXIT: &str = "one exit";
const HELLO: &str = "hello";

/// The image as a file for QEMU, which is removed at the end.
struct ImageFile(PathBuf);

impl ImageFile {
    fn new(bytes: &[u8]) -> io::Result<Self> {
        let name = format!("jitterbug-bench-hello-{}.elf", std::process::id());
        let path = env::temp_dir().join(name);
        std::fs::write(&path, bytes)?;
        Ok(Self(path))
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        // It is in the directory for temporary files, so it does no harm if it stays.
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) fn measure(criterion: &mut Criterion, device: &Path) -> Result<Rounds, Failure> {
    let image = ImageFile::new(hello()?)?;
    let mut contestants = vec![
        contestant("jitterbug", None, 0, GREETING, || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_jitterbug"));
            command.args(["run", "hello", "--kvm"]).arg(device);
            command
        }),
        contestant("ioctl: one exit", Some(1.5), 0, "", || floor(ONE_EXIT, device)),
        contestant("ioctl: hello", None, 0, "", || floor(HELLO, device)),
        contestant("an empty process", None, 0, "", || floor("", device)),
    ];
    let goal = Some(1.0 / 3.0);
    let mut qemu = contestant("QEMU microvm", goal, QEMU_SUCCESS, GREETING, || qemu(&image));
    match (qemu.turn)() {
        Ok(_) => contestants.push(qemu),
        Err(error) => eprintln!("SKIPPED: {QEMU} is NOT measured: {error}"),
    }
    Ok(hold(criterion, &PLAN, contestants))
}

fn contestant<'a>(
    name: &'static str,
    goal: Option<f64>,
    status: i32,
    says: &'static str,
    command: impl Fn() -> Command + 'a,
) -> Contestant<'a> {
    let mut pause = Duration::ZERO;
    let turn = move || {
        // KVM waits for grace periods, which end with a timer tick. The start of a run must not be
        // in phase with the end of the previous one.
        pause =
            (pause + STEP).saturating_sub(if pause + STEP < WRAP { Duration::ZERO } else { WRAP });
        thread::sleep(pause);
        run(&mut command(), status, says)
    };
    Contestant { name, goal, turn: Box::new(turn) }
}

/// Runs a process, and returns the time from before its start until it has ended.
fn run(command: &mut Command, status: i32, says: &str) -> Result<Duration, Failure> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            sender.send(text)
        });
    }
    let Ok(text) = receiver.recv_timeout(TIME_LIMIT) else {
        child.kill()?;
        child.wait()?;
        return Err(format!("{command:?} has not ended in {TIME_LIMIT:?}").into());
    };
    let ended = child.wait()?;
    let time = start.elapsed();
    if ended.code() != Some(status) || !text.contains(says) {
        return Err(format!("{command:?} ended with {ended} and said {text:?}").into());
    }
    Ok(time)
}

fn qemu(image: &ImageFile) -> Command {
    let mut command = Command::new(QEMU);
    command
        .args(["-M", "microvm", "-accel", "kvm", "-cpu", "qemu64", "-m", "128M"])
        .args(["-display", "none", "-nodefaults", "-serial", "stdio", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-append", "cpus=1", "-kernel"])
        .arg(&image.0);
    command
}

fn hello() -> Result<&'static [u8], Failure> {
    Ok(guests::find("hello").ok_or("there is no guest `hello`")?.image)
}

fn floor(which: &str, device: &Path) -> Command {
    let program = env::current_exe().unwrap_or_default();
    let mut command = Command::new(program);
    command.env(FLOOR, which).env(DEVICE, device);
    command
}

/// Runs a floor, if this process was started as one.
pub(crate) fn be_floor() -> Option<Result<(), Failure>> {
    let which = env::var(FLOOR).ok()?;
    let device = PathBuf::from(env::var_os(DEVICE)?);
    Some(match which.as_str() {
        ONE_EXIT => one_exit(&device),
        HELLO => whole_hello(&device),
        _ => Ok(()),
    })
}

fn one_exit(device: &Path) -> Result<(), Failure> {
    let program = Program::flat(image::end());
    Raw::new(device, &program, false)?.run_to_end(Synced::Nothing)?;
    Ok(())
}

fn whole_hello(device: &Path) -> Result<(), Failure> {
    Raw::new(device, &Program::pvh(hello()?)?, true)?.run_to_end(Synced::Nothing)?;
    Ok(())
}
