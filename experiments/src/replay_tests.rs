use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vmm::hook::{Access, Context, Hook, Points, Verdict, Watch};
use vmm::{CpuCount, GuestImage};

use super::*;
use crate::hunt::recorder::Recording;

fn host() -> Host {
    Host::open(Path::new(vmm::kvm::host::DEFAULT_DEVICE)).unwrap()
}

fn machine(granularity: Granularity) -> MachineConfig {
    let guest = guests::find("lost-update-fixed").unwrap();
    let image = GuestImage { name: guest.name.into(), bytes: Cow::Borrowed(guest.image) };
    let config = MachineConfig::new(image, CpuCount::new(2).unwrap());
    MachineConfig { granularity, ..config }
}

/// A run of this machine, with the vCPUs in turn.
fn recorded(machine: &MachineConfig) -> Recorded {
    const HANG_BUDGET: u64 = 20_000;
    let mut recording = Recording::default();
    let mut machine = boot(&host(), machine, HANG_BUDGET, &[], &Cancel::never()).unwrap();
    let ending = machine.run(
        &mut |point: &Point| {
            let choice = point.enabled[point.number as usize % point.enabled.len()];
            recording.push(point, choice);
            choice
        },
        100_000,
    );
    Recorded {
        switches: recording.hashes(),
        schedule: recording.schedule,
        hang_budget: HANG_BUDGET,
        verdict: ending.unwrap().to_string(),
        points: machine.points(),
        hash: format!("{:016x}", machine.hash()),
    }
}

/// Counts choices, accesses and stops.
#[derive(Clone, Default)]
struct Counter {
    watches: Vec<Range<u64>>,
    choices: Arc<AtomicU64>,
    accesses: Arc<AtomicU64>,
    stops: Arc<AtomicU64>,
}

impl Attach for Counter {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }

    fn watches(&self) -> Vec<Watch> {
        self.watches.iter().cloned().map(Into::into).collect()
    }
}

impl Hook for Counter {
    fn points(&self) -> Points {
        Points::CHOICE | Points::STOP
    }

    fn choice(&mut self, _: &mut Context, _: Choice) {
        self.choices.fetch_add(1, Ordering::Relaxed);
    }

    fn access(&mut self, _: &mut Context, _: &Access) -> Verdict {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        Verdict::Continue
    }

    fn stop(&mut self, _: &mut Context) {
        self.stops.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn hooks_look_on_and_the_run_is_the_same() {
    for granularity in [Granularity::Watch, Granularity::Instruction] {
        let machine = machine(granularity);
        let recorded = recorded(&machine);
        let counter = Counter::default();
        let replayed = replay(&host(), &recorded, &machine, &[&counter], &Cancel::never()).unwrap();
        assert_eq!(replayed.divergence, None);
        assert_eq!(replayed.ending, End::Guest { code: 0 });
        assert!(replayed.time >= Duration::from_micros(recorded.points));
        assert_eq!(counter.choices.load(Ordering::Relaxed), recorded.points);
        assert_eq!(counter.stops.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn another_run_is_told_with_hooks_as_well() {
    let machine = machine(Granularity::Watch);
    let mut recorded = recorded(&machine);
    recorded.hash = "0".repeat(16);
    let replayed =
        replay(&host(), &recorded, &machine, &[&Counter::default()], &Cancel::never()).unwrap();
    assert_eq!(replayed.divergence.unwrap().point, recorded.points);
}

#[test]
fn what_is_shared_can_be_watched_and_nothing_else() {
    let watching = machine(Granularity::Watch);
    let recorded = recorded(&watching);
    let shared =
        boot(&host(), &watching, 1, &[], &Cancel::never()).unwrap().memory().trapped()[0].clone();
    let counter = Counter { watches: vec![shared.clone()], ..Counter::default() };
    let replayed = replay(&host(), &recorded, &watching, &[&counter], &Cancel::never()).unwrap();
    assert_eq!(replayed.divergence, None);
    assert!(counter.accesses.load(Ordering::Relaxed) > 2);

    let refused = |machine: &MachineConfig, range: Range<u64>| {
        let counter = Counter { watches: vec![range], ..Counter::default() };
        replay(&host(), &recorded, machine, &[&counter], &Cancel::never()).unwrap_err().to_string()
    };
    let beyond = refused(&watching, shared.end - 4..shared.end + 4);
    let named = format!("{:#x}..{:#x}", shared.end - 4, shared.end + 4);
    assert!(beyond.contains(&named) && beyond.contains("one more scheduling point"), "{beyond}");
    let stepped = refused(&machine(Granularity::Instruction), shared);
    assert!(stepped.contains("--granularity instruction"), "{stepped}");
}
