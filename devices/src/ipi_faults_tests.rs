//! Tests of the faults of IPIs.

use super::*;
use crate::lapic::Destination;

const IPI: Ipi =
    Ipi { source: 0, mode: IpiMode::Fixed { vector: 0x40 }, destination: Destination::Physical(1) };

/// The targets of an IPI from vCPU 0 to vCPUs 1 and 2, of which a fault strikes vCPU 1.
fn struck(fault: IpiFault, vcpus: usize) -> (u64, IpiFaults) {
    let mut faults = IpiFaults::default();
    faults.strike_next(fault, 0b10);
    let now = faults.targets(IPI, 0b110, vcpus);
    assert!(!faults.clear_next());
    (now, faults)
}

#[test]
fn without_a_fault_nothing_changes() {
    let mut faults = IpiFaults::default();
    assert_eq!(faults.targets(IPI, 0b110, 3), 0b110);
    assert_eq!(faults, IpiFaults::default());
}

#[test]
fn a_fault_that_lapses_strikes_nothing() {
    let mut faults = IpiFaults::default();
    faults.strike_next(IpiFault::Drop, 0b10);
    assert!(faults.clear_next());
    assert_eq!(faults.targets(IPI, 0b110, 3), 0b110);
}

#[test]
fn a_lost_ipi_never_comes() {
    let (now, mut faults) = struck(IpiFault::Drop, 3);
    assert_eq!(now, 0b100);
    assert_eq!(faults.due(u64::MAX), []);
}

#[test]
fn a_late_ipi_comes_when_it_is_due() {
    let (now, mut faults) = struck(IpiFault::Delay { until: 50 }, 3);
    assert_eq!(now, 0b100);
    assert_eq!(faults.deadlines().collect::<Vec<_>>(), [50]);
    faults.has_sent(0, 10);
    assert_eq!(faults.due(49), []);
    assert_eq!(faults.due(50), [(IPI.mode, 0b10)]);
    assert_eq!(faults.due(u64::MAX), []);
}

#[test]
fn a_second_one_comes_beside_the_first() {
    let (now, mut faults) = struck(IpiFault::Duplicate { until: 50 }, 3);
    assert_eq!(now, 0b110);
    assert_eq!(faults.due(50), [(IPI.mode, 0b10)]);
}

#[test]
fn a_reordered_ipi_follows_the_senders_next() {
    let (now, mut faults) = struck(IpiFault::Reorder { until: 10_000 }, 3);
    assert_eq!(now, 0b100);
    faults.has_sent(2, 10);
    assert_eq!(faults.due(9_999), []);
    faults.has_sent(0, 20);
    assert_eq!(faults.due(2_019), []);
    assert_eq!(faults.due(2_020), [(IPI.mode, 0b10)]);
    let (_, mut faults) = struck(IpiFault::Reorder { until: 50 }, 3);
    assert_eq!(faults.due(50), [(IPI.mode, 0b10)]);
}

#[test]
fn a_misrouted_ipi_goes_to_another() {
    assert_eq!(struck(IpiFault::Misroute, 4).0, 0b1100);
    // Only the sender is left.
    assert_eq!(struck(IpiFault::Misroute, 3).0, 0b101);
    assert_eq!(elsewhere(0, 0b10, 64), 0b100);
    assert_eq!(elsewhere(0, 1 << 63, 64), 0b10);
    assert_eq!(elsewhere(0, 0b11, 2), 0);
    assert_eq!(elsewhere(0, u64::MAX, 64), 0);
}
