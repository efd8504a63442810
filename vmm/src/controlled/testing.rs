//! Helpers for the tests of this module: guests of the catalogue in a controlled machine.

use std::borrow::Cow;
use std::io::sink;
use std::path::Path;

use super::{Choice, ControlledMachine, Granularity, Point};
use crate::config::{CpuCount, GuestImage, MachineConfig};
use crate::criteria::Criteria;
use crate::identity::Identity;
use crate::kvm::{Host, host};
use crate::memory::MemorySize;

/// A machine at the first instruction of a case.
pub(crate) fn case(name: &str) -> ControlledMachine {
    case_at(name, Granularity::Watch)
}

/// Like [`case`], with this granularity.
pub(crate) fn case_at(name: &str, granularity: Granularity) -> ControlledMachine {
    let case = guests::case(name).unwrap();
    boot(case.name, case.image, case.cpus, granularity)
}

/// A machine at the first instruction of a guest of the catalogue.
pub(crate) fn machine(guest: &str) -> ControlledMachine {
    machine_at(guest, Granularity::Watch)
}

/// Like [`machine`], with this granularity.
pub(crate) fn machine_at(guest: &str, granularity: Granularity) -> ControlledMachine {
    let guest = guests::find(guest).unwrap();
    boot(guest.name, guest.image, guest.default_cpus, granularity)
}

fn boot(
    name: &str,
    image: &'static [u8],
    cpus: u32,
    granularity: Granularity,
) -> ControlledMachine {
    let config = MachineConfig {
        initrd: None,
        guest: GuestImage { name: name.into(), bytes: Cow::Borrowed(image) },
        cpus: CpuCount::new(cpus).unwrap(),
        memory: MemorySize::new(32 << 20).unwrap(),
        identity: Identity::Vmware,
        command_line: String::new(),
        disks: Vec::new(),
        rng: false,
        virtio_console: false,
        faults: Vec::new(),
        granularity,
        // Cases stand for the users' guests: these may idle.
        criteria: Criteria { may_idle: guests::find(name).is_none(), ..Criteria::default() },
    };
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    ControlledMachine::new(&host, &config, Box::new(sink())).unwrap()
}

/// Chooses at random among the enabled choices; the same seed gives the same choices.
pub(crate) fn random(seed: u64) -> impl FnMut(&Point) -> Choice {
    let mut state = seed;
    move |point| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        point.enabled[(state >> 33) as usize % point.enabled.len()]
    }
}
