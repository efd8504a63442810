use super::Pauser::{Debugger, Remote};
use super::*;

#[test]
fn the_time_of_pauses_adds_up() {
    let (pauses, seconds) = (Pauses::default(), Duration::from_secs);
    assert!(!pauses.hold_vcpu(false));
    assert!(pauses.pause(Remote, seconds(2)));
    assert!(!pauses.pause(Remote, seconds(3)), "it is paused already, since the second 2");
    assert!(pauses.hold_vcpu(false));
    assert_eq!(pauses.paused_time(seconds(5)), seconds(3));
    assert!(pauses.end_pause(Remote, seconds(6)));
    assert!(!pauses.end_pause(Remote, seconds(7)));
    assert!(pauses.pause(Remote, seconds(10)));
    assert_eq!(pauses.paused_time(seconds(11)), seconds(5));
}

#[test]
fn two_can_pause_at_once_and_the_time_counts_once() {
    let (pauses, seconds) = (Pauses::default(), Duration::from_secs);
    assert!(pauses.pause(Debugger, seconds(1)));
    assert!(pauses.pause(Remote, seconds(2)), "the other has not paused it");
    assert!(pauses.end_pause(Debugger, seconds(3)));
    assert!(pauses.is_paused_by(Remote) && !pauses.is_paused_by(Debugger));
    assert!(pauses.hold_vcpu(true), "a debugger's step does not end the other's pause");
    assert_eq!(pauses.paused_time(seconds(4)), seconds(3));
    assert!(pauses.end_pause(Remote, seconds(5)));
    assert_eq!(pauses.paused_time(seconds(9)), seconds(4));
}

#[test]
fn a_vcpu_that_steps_is_held_by_all_but_the_debugger() {
    let pauses = Pauses::default();
    pauses.pause(Debugger, Duration::ZERO);
    assert!(pauses.hold_vcpu(false) && !pauses.hold_vcpu(true));
    pauses.suspend();
    assert!(pauses.hold_vcpu(true));
}

#[test]
fn a_suspension_is_no_pause_and_takes_no_time_from_the_limit() {
    let (pauses, seconds) = (Pauses::default(), Duration::from_secs);
    pauses.suspend();
    assert!(pauses.hold_vcpu(false) && pauses.is_suspended() && !pauses.is_paused_by(Remote));
    assert_eq!(pauses.paused_time(seconds(9)), seconds(0));
    pauses.pause(Remote, seconds(9));
    assert!(pauses.end_suspension());
    assert!(pauses.hold_vcpu(false), "it is still paused");
    pauses.end_pause(Remote, seconds(9));
    assert!(!pauses.hold_vcpu(false));
}
