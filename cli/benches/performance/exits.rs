//! Measures a guest's port write, from the guest to the device and back.

use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use vmm::End;
use vmm::parallel::{self, Options};
use vmm::{CpuCount, GuestImage, Host, Machine, MachineConfig};

use crate::Failure;
use crate::contest::{Contestant, Plan, Rounds, hold};
use crate::image::{self, Program};
use crate::raw::{Raw, Synced};

/// Port writes in a turn.
pub(crate) const TIMES: u64 = 4_000;
const BASELINE_EXITS: u64 = 64;

const PLAN: Plan = Plan {
    name: "exit",
    times: TIMES,
    samples: 20,
    warm_up: Duration::from_millis(500),
    measurement: Duration::from_secs(3),
    judged: 2,
    rate: None,
};

pub(crate) fn measure(criterion: &mut Criterion, host: &Host, device: &Path) -> Rounds {
    let floor = |name, goal, synced| Contestant {
        name,
        goal,
        turn: Box::new(move || slope(|times| by_ioctl(device, times, synced))),
    };
    let contestants = vec![
        Contestant {
            name: "jitterbug",
            goal: None,
            turn: Box::new(|| slope(|times| by_jitterbug(host, times))),
        },
        floor("ioctl", Some(1.10), Synced::Nothing),
        floor("ioctl, registers synced", None, Synced::Registers),
        floor("ioctl, system registers too", None, Synced::RegistersAndSystem),
    ];
    hold(criterion, &PLAN, contestants)
}

/// The difference between a run with many exits and a run with few: the start and the end cancel
/// out.
pub(crate) fn slope(
    mut run: impl FnMut(u64) -> Result<Duration, Failure>,
) -> Result<Duration, Failure> {
    let few = run(BASELINE_EXITS)?;
    Ok(run(BASELINE_EXITS + TIMES)?.saturating_sub(few))
}

pub(crate) fn by_jitterbug(host: &Host, times: u64) -> Result<Duration, Failure> {
    let (code, exits) = image::port_writes(times);
    let guest = GuestImage { name: "port writes".into(), bytes: image::elf(&code).into() };
    let config = MachineConfig::new(guest, CpuCount::new(1)?);
    let machine = Machine::new(host, &config, Box::new(std::io::sink()))?;
    let outcome = parallel::run(machine, &[], Options::default())?;
    let seen: u64 = outcome.vcpus.iter().map(|vcpu| vcpu.exits.port_write).sum();
    match outcome.end {
        End::Guest { code: 0 } if seen == exits => Ok(outcome.elapsed),
        end => Err(format!("{seen} exits of {exits}: {end}").into()),
    }
}

fn by_ioctl(device: &Path, times: u64, synced: Synced) -> Result<Duration, Failure> {
    let (code, _) = image::port_writes(times);
    Ok(Raw::new(device, &Program::flat(code), false)?.run_to_end(synced)?)
}
