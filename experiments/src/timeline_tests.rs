use std::borrow::Cow;
use std::path::Path;

use inspect::Symbols;
use vmm::controlled::Point;
use vmm::{CpuCount, GuestImage};

use super::*;
use crate::hunt::recorder;

const HANG_BUDGET: u64 = 20_000;

/// A machine with a guest of the catalogue, and a run of it with the vCPUs in turn.
struct Case {
    host: Host,
    machine: MachineConfig,
    symbols: Symbols,
    recorded: Recorded,
}

impl Case {
    fn new(guest: &str, granularity: Granularity) -> Self {
        let host = Host::open(Path::new(vmm::kvm::host::DEFAULT_DEVICE)).unwrap();
        let guest = guests::find(guest).unwrap();
        let image = GuestImage { name: guest.name.into(), bytes: Cow::Borrowed(guest.image) };
        let cpus = CpuCount::new(guest.default_cpus).unwrap();
        let machine = MachineConfig { granularity, ..MachineConfig::new(image, cpus) };
        let mut recording = recorder::Recording::default();
        let cancel = Cancel::never();
        let mut run = crate::replay::boot(&host, &machine, HANG_BUDGET, &[], &cancel).unwrap();
        let mut choose = |point: &Point| {
            let choice = point.enabled[point.number as usize % point.enabled.len()];
            recording.push(point, choice);
            choice
        };
        let ending = run.run(&mut choose, 100_000).unwrap();
        let recorded = Recorded {
            switches: recording.hashes(),
            schedule: recording.schedule,
            hang_budget: HANG_BUDGET,
            verdict: ending.to_string(),
            points: run.points(),
            hash: format!("{:016x}", run.hash()),
        };
        let symbols = Symbols::from_elf(guest.name, guest.image).unwrap();
        Self { host, machine, symbols, recorded }
    }

    fn timeline(&self) -> Timeline<'_> {
        Timeline::new(&self.host, &self.recorded, &self.machine, &Cancel::never()).unwrap()
    }

    fn symbol(&self, name: &str) -> u64 {
        self.symbols.address(name).unwrap()
    }
}

/// Moves until the run begins or ends; returns where it stopped on the way.
fn stops(
    timeline: &mut Timeline,
    mut go: impl FnMut(&mut Timeline) -> Result<Stop>,
) -> Vec<(Position, Stop)> {
    let mut stops = Vec::new();
    loop {
        let stop = go(timeline).unwrap();
        if matches!(stop.why, Why::Begin | Why::End) {
            return stops;
        }
        stops.push((timeline.position(), stop));
    }
}

fn go_on(timeline: &mut Timeline) -> Result<Stop> {
    timeline.go_on(&mut || false)
}

fn go_back(timeline: &mut Timeline) -> Result<Stop> {
    timeline.go_back(&mut || false)
}

#[test]
fn a_run_is_gone_through_from_end_to_end() {
    for granularity in [Granularity::Watch, Granularity::Instruction] {
        let case = Case::new("lost-update", granularity);
        let mut timeline = case.timeline();
        let begin = (timeline.position(), timeline.standing(0).unwrap());
        for _ in 0..2 {
            assert_eq!(go_on(&mut timeline).unwrap().why, Why::End);
            let hash = format!("{:016x}", timeline.machine().hash());
            assert_eq!((timeline.position(), &hash), (Position::End, &case.recorded.hash));
            assert_eq!(go_on(&mut timeline).unwrap().why, Why::End);
            assert_eq!(go_back(&mut timeline).unwrap().why, Why::Begin);
            assert_eq!((timeline.position(), timeline.standing(0).unwrap()), begin);
        }
        let middle = case.recorded.points / 2;
        assert_eq!(timeline.go_to(middle).unwrap().why, Why::Step);
        assert_eq!(timeline.position(), Position::At { point: middle, executed: 0 });
    }
}

#[test]
fn each_step_back_undoes_one_instruction() {
    for granularity in [Granularity::Watch, Granularity::Instruction] {
        let case = Case::new("lost-update", granularity);
        let mut timeline = case.timeline();
        timeline.set_breakpoints(vec![case.symbol("add_one")]);
        for (position, Stop { vcpu, .. }) in stops(&mut timeline, go_on) {
            let Position::At { point, .. } = position else { panic!("{position:?}") };
            timeline.set_breakpoints(Vec::new());
            timeline.go_to(point).unwrap();
            timeline.step(vcpu, None, &mut || false).unwrap();
            let mut way = vec![timeline.standing(vcpu).unwrap().registers];
            for _ in 0..15 {
                let stop = timeline.step(vcpu, None, &mut || false).unwrap();
                assert_eq!(stop, Stop { vcpu, why: Why::Step });
                way.push(timeline.standing(vcpu).unwrap().registers);
            }
            while let Some(registers) = way.pop() {
                assert_eq!(timeline.standing(vcpu).unwrap().registers, registers, "{granularity}");
                let stop = timeline.step_back(vcpu).unwrap();
                assert_eq!(stop, Stop { vcpu, why: Why::Step });
            }
        }
        // From the end, too.
        let end = timeline.go_to(u64::MAX).unwrap();
        assert_eq!(timeline.step_back(end.vcpu).unwrap().why, Why::Step);
        assert_ne!(timeline.position(), Position::End);
    }
}

#[test]
fn breakpoints_are_the_same_in_both_directions() {
    for granularity in [Granularity::Watch, Granularity::Instruction] {
        let case = Case::new("lost-update", granularity);
        let mut timeline = case.timeline();
        let address = case.symbol("add_one");
        timeline.set_breakpoints(vec![address]);
        let forwards = stops(&mut timeline, go_on);
        assert_eq!(forwards.len(), 2, "{granularity}");
        for (position, Stop { vcpu, why }) in &forwards {
            timeline.seek(*position).unwrap();
            assert_eq!(timeline.standing(*vcpu).unwrap().registers.rip, address);
            assert_eq!(*why, Why::Breakpoint);
        }
        timeline.go_to(u64::MAX).unwrap();
        let mut backwards = stops(&mut timeline, go_back);
        backwards.reverse();
        assert_eq!(backwards, forwards, "{granularity}");
    }
}

#[test]
fn a_watchpoint_stops_behind_the_access_and_backwards_before_it() {
    let case = Case::new("lost-update", Granularity::Watch);
    let mut timeline = case.timeline();
    let address = case.symbol("counter");
    let watch = |kind| Watchpoint { vcpu: 0, address, length: 8, kind };
    // The guest's page tables map its memory as it is loaded: the addresses are the same.
    assert!(timeline.watch(watch(WatchKind::Write)).unwrap());
    let value = |timeline: &mut Timeline| {
        let mut bytes = [0; 8];
        assert_eq!(timeline.read(0, address, &mut bytes).unwrap(), 8);
        u64::from_le_bytes(bytes)
    };
    let mut written = Vec::new();
    let forwards = stops(&mut timeline, |timeline| {
        let stop = go_on(timeline);
        written.push(value(timeline));
        stop
    });
    written.pop();
    assert!(forwards.len() >= 2, "{forwards:?}");
    assert!(forwards.iter().all(|(_, stop)| stop.why == Why::Watchpoint(watch(WatchKind::Write))));
    let mut before = Vec::new();
    let mut backwards = stops(&mut timeline, |timeline| {
        let stop = go_back(timeline);
        before.push(value(timeline));
        stop
    });
    before.pop();
    backwards.reverse();
    before.reverse();
    assert_eq!(before[0], 0);
    assert_eq!(before[1..], written[..written.len() - 1]);
    let who = |stops: &[(Position, Stop)]| stops.iter().map(|(_, it)| it.vcpu).collect::<Vec<_>>();
    assert_eq!(who(&backwards), who(&forwards));
    assert!(timeline.unwatch(&watch(WatchKind::Write)));
    assert!(!timeline.unwatch(&watch(WatchKind::Write)));
    // The sum is read at the end, too.
    timeline.watch(watch(WatchKind::Read)).unwrap();
    assert!(stops(&mut timeline, go_on).len() > 2);
    // Stacks are private.
    let address = timeline.standing(0).unwrap().registers.rsp - 8;
    let private = Watchpoint { vcpu: 0, address, length: 8, kind: WatchKind::Write };
    assert!(!timeline.watch(private).unwrap());
}

#[test]
fn a_move_that_is_interrupted_ends_at_a_point() {
    let case = Case::new("lost-update", Granularity::Watch);
    let mut timeline = case.timeline();
    timeline.set_breakpoints(vec![1]);
    assert_eq!(timeline.go_on(&mut || true).unwrap().why, Why::Interrupted);
    timeline.go_to(u64::MAX).unwrap();
    let stop = timeline.go_back(&mut || true).unwrap();
    assert!(matches!(stop.why, Why::Interrupted | Why::Begin));
}
