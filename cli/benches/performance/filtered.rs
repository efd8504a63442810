//! Measures a port write with the filters of system calls, beside one without.
//!
//! A filter stays for as long as its process, so each turn is made by a process of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use criterion::Criterion;
use vmm::Host;
use vmm::kvm::seccomp;

use crate::Failure;
use crate::contest::{Contestant, Plan, Rounds, hold};
use crate::exits::{TIMES, by_jitterbug, slope};

/// Set in the process of a turn: whether it is filtered.
const FILTERED: &str = "JITTERBUG_BENCH_FILTERED";
const DEVICE: &str = "JITTERBUG_BENCH_FILTERED_DEVICE";

const PLAN: Plan = Plan {
    name: "filtered exit",
    times: TIMES,
    samples: 20,
    warm_up: Duration::from_millis(500),
    measurement: Duration::from_secs(3),
    judged: 2,
    rate: None,
};

pub(crate) fn measure(criterion: &mut Criterion, device: &Path) -> Rounds {
    let contestant = |name, goal, filtered| Contestant {
        name,
        goal,
        turn: Box::new(move || turn(device, filtered)),
    };
    let contestants =
        vec![contestant("filtered", None, true), contestant("not filtered", Some(1.05), false)];
    hold(criterion, &PLAN, contestants)
}

/// The time of [`TIMES`] port writes, which another process has measured.
fn turn(device: &Path, filtered: bool) -> Result<Duration, Failure> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.env(FILTERED, filtered.to_string()).env(DEVICE, device).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let time = text.trim().parse().map(Duration::from_nanos);
    time.map_err(|_| format!("{}: {output:?}", output.status).into())
}

/// Makes a turn, if this process was started for one.
pub(crate) fn be_turn() -> Option<Result<(), Failure>> {
    let filtered = env::var(FILTERED).ok()? == true.to_string();
    let device = PathBuf::from(env::var_os(DEVICE)?);
    let measured = || {
        let host = Host::open(&device)?;
        if filtered && !seccomp::confine()? {
            return Err("this kernel has no filters of system calls".into());
        }
        slope(|times| by_jitterbug(&host, times))
    };
    Some(measured().map(|time| println!("{}", time.as_nanos())))
}
