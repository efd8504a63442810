//! Tests of the faults of a machine.

use super::*;
use crate::config::{CpuCount, GuestImage};

fn refusal(fault: &str, granularity: Granularity) -> String {
    let guest = GuestImage { name: "test".into(), bytes: b"".into() };
    let config = MachineConfig {
        faults: vec![fault.parse().unwrap()],
        granularity,
        ..MachineConfig::new(guest, CpuCount::new(2).unwrap())
    };
    Faults::of(&config).unwrap_err().to_string()
}

#[test]
fn what_cannot_strike_is_refused() {
    let refused = refusal("nmi:vcpu=2", Granularity::Watch);
    assert!(refused.contains("there is no vCPU 2: the machine has 2 (--cpus)"), "{refused}");
    let refused = refusal("ipi-drop:to=5", Granularity::Watch);
    assert!(refused.contains("there is no vCPU 5"), "{refused}");
    let refused = refusal("ipi-drop", Granularity::Instruction);
    assert!(refused.contains("leave out --granularity instruction"), "{refused}");
}

#[test]
fn a_fault_is_armed_as_often_as_it_may_strike() {
    let specs = vec!["ipi-drop:2".parse().unwrap(), "nmi".parse().unwrap()];
    let mut faults = Faults { specs, code: Vec::new(), state: FaultState::default() };
    let armed = |faults: &Faults| faults.armed().map(|(number, _)| number).collect::<Vec<_>>();
    let strike = |number| Strike { number, point: 0, vcpu: 0, rip: 0, event: Struck::SpuriousNmi };
    assert_eq!(armed(&faults), [1, 2]);
    faults.state.strikes.extend([strike(1), strike(2)]);
    assert_eq!(armed(&faults), [1]);
    faults.state.strikes.push(strike(1));
    assert!(armed(&faults).is_empty());
}

#[test]
fn the_nth_event_is_counted() {
    let specs = vec!["irq-drop:nth=2".parse().unwrap()];
    let state = FaultState { matched: vec![0], strikes: Vec::new() };
    let mut faults = Faults { specs, code: Vec::new(), state };
    let is_next = |faults: &Faults| faults.is_next(1, &faults.specs[0]);
    assert!(!is_next(&faults));
    faults.count(|spec| spec.covers(0, 0x40));
    assert!(is_next(&faults));
    faults.count(|_| false);
    assert!(is_next(&faults));
    faults.count(|_| true);
    assert!(!is_next(&faults));
}
