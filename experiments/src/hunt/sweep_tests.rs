//! Tests of sweeps over the places of a fault.

use vmm::{CpuCount, GuestImage, MachineConfig};

use super::*;
use crate::strategy::StrategySpec;

fn hunt(case: &str, fault: &str) -> Hunt {
    let bytes = guests::case(case).unwrap().image.into();
    let guest = GuestImage { name: case.into(), bytes };
    let machine = MachineConfig {
        faults: vec![fault.parse().unwrap()],
        ..MachineConfig::new(guest, CpuCount::new(3).unwrap())
    };
    Hunt {
        machine,
        strategy: StrategySpec::RoundRobin,
        seed: 1,
        runs: u64::MAX,
        time: None,
        budget: 100_000,
        hang_budget: 20_000,
        jobs: 1,
        keep_going: false,
        verify: false,
    }
}

/// Sweeps, and returns the result with the findings.
fn swept(hunt: &Hunt) -> (Swept, Vec<Finding>) {
    let host = Host::open(vmm::kvm::host::DEFAULT_DEVICE.as_ref()).unwrap();
    let mut findings = Vec::new();
    let swept = sweep(&host, hunt, None, &Cancel::never(), |_, event| {
        if let SweepEvent::Failed(finding) = event {
            findings.push(finding.clone());
        }
        Next::GoOn
    });
    (swept.unwrap(), findings)
}

#[test]
fn each_place_is_tried_once() {
    let (swept, findings) = swept(&hunt("doorbell-strict", "ipi-drop:mode=fixed"));
    // Two bells, neither of which may be lost.
    assert_eq!((swept.places, swept.tried, swept.failed), (vec![2], vec![2], vec![2]));
    assert!(swept.complete && !swept.unfit);
    assert_eq!(swept.runs, 3);
    assert_eq!(findings.len(), 2);
    assert!(findings.iter().all(|finding| finding.faults.len() == 1));
}

#[test]
fn pairs_follow_what_passes() {
    let (swept, findings) = swept(&hunt("doorbell", "ipi-drop:2,mode=fixed"));
    // Each bell that is lost is rung again.
    assert_eq!(swept.failed, [0, 0]);
    assert_eq!(swept.places[0], 3);
    assert!(swept.places[1] > swept.places[0], "{swept:?}");
    assert!(swept.complete && findings.is_empty());
}

#[test]
fn the_limit_of_runs_is_kept() {
    let hunt = Hunt { runs: 2, ..hunt("doorbell", "ipi-drop:mode=fixed") };
    let (swept, _) = swept(&hunt);
    assert_eq!((swept.runs, swept.tried), (2, vec![1]));
    assert!(!swept.complete);
}

#[test]
fn a_guest_that_fails_without_a_fault_is_not_swept() {
    let (swept, findings) = self::swept(&hunt("stuck", "ipi-drop"));
    assert!(swept.unfit && !swept.complete);
    assert_eq!(swept.runs, 1);
    assert!(findings.iter().all(|finding| finding.faults.is_empty()));
}
