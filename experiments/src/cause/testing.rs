//! For the tests of this room: guests of the catalogue and their failures.

use std::borrow::Cow;
use std::path::Path;

use vmm::controlled::{ControlledMachine, Granularity};
use vmm::identity::Identity;
use vmm::kvm::host;
use vmm::memory::MemorySize;
use vmm::{CpuCount, Criteria, GuestImage, Host, MachineConfig};

use crate::finding::Finding;
use crate::hunt::{Hunt, Next, Told, hunt};
use crate::strategy::StrategySpec;

pub(crate) fn host() -> Host {
    Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap()
}

/// A guest, its machine, and its first failure.
pub(crate) fn found(host: &Host, guest: &str) -> (MachineConfig, Finding) {
    let guest = guests::find(guest).unwrap();
    let machine = MachineConfig {
        guest: GuestImage { name: guest.name.into(), bytes: Cow::Borrowed(guest.image) },
        cpus: CpuCount::new(guest.default_cpus).unwrap(),
        memory: MemorySize::new(32 << 20).unwrap(),
        identity: Identity::Vmware,
        command_line: String::new(),
        granularity: Granularity::default(),
        criteria: Criteria::default(),
    };
    let search = Hunt {
        machine: machine.clone(),
        strategy: StrategySpec::Random,
        seed: 1,
        runs: 5000,
        time: None,
        budget: 1_000_000,
        hang_budget: ControlledMachine::HANG_BUDGET,
        jobs: 1,
        keep_going: false,
        verify: false,
    };
    let mut first = None;
    hunt(host, &search, None, |_, told| {
        if let Told::Failed(finding) = told {
            first = Some(finding.clone());
        }
        Next::GoOn
    })
    .unwrap();
    (machine, first.expect("a failure"))
}
