//! For the tests of this module: guests of the catalogue and their failures.

use std::borrow::Cow;
use std::path::Path;

use vmm::controlled::{ControlledMachine, Granularity};
use vmm::identity::Identity;
use vmm::kvm::host;
use vmm::memory::MemorySize;
use vmm::{CpuCount, Criteria, GuestImage, Host, MachineConfig};

use crate::finding::Finding;
use crate::hunt::{Hunt, Next, SearchEvent, hunt};
use crate::strategy::StrategySpec;

pub(crate) fn host() -> Host {
    Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap()
}

/// A guest's machine, and its first failure.
pub(crate) fn found(host: &Host, guest: &str) -> (MachineConfig, Finding) {
    found_by(host, guest, 1).expect("a failure")
}

/// The same with this seed; `guest` names a guest of the catalogue or a case.
pub(crate) fn found_by(host: &Host, guest: &str, seed: u64) -> Option<(MachineConfig, Finding)> {
    let (name, image, cpus) = match (guests::find(guest), guests::case(guest)) {
        (Some(guest), _) => (guest.name, guest.image, guest.default_cpus),
        (None, Some(case)) => (case.name, case.image, case.cpus),
        (None, None) => panic!("no guest {guest}"),
    };
    let machine = MachineConfig {
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
        granularity: Granularity::default(),
        criteria: Criteria::default(),
    };
    let search = Hunt {
        machine: machine.clone(),
        // A random walk hardly ever gets through the long prefix of the example in PCT's figure 5.
        strategy: match name {
            "pct-5" => StrategySpec::Pct { depth: 1 },
            _ => StrategySpec::Random,
        },
        seed,
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
        if let SearchEvent::Failed(finding) = told {
            first = Some(finding.clone());
        }
        Next::GoOn
    })
    .unwrap();
    Some((machine, first?))
}
