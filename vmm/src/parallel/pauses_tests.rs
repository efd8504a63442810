use super::*;

#[test]
fn the_time_of_pauses_adds_up() {
    let (pauses, seconds) = (Pauses::default(), Duration::from_secs);
    assert!(!pauses.hold_vcpus());
    assert!(pauses.pause(seconds(2)));
    assert!(!pauses.pause(seconds(3)), "it is paused already, since the second 2");
    assert!(pauses.hold_vcpus());
    assert_eq!(pauses.paused_time(seconds(5)), seconds(3));
    assert!(pauses.end_pause(seconds(6)));
    assert!(!pauses.end_pause(seconds(7)));
    assert!(pauses.pause(seconds(10)));
    assert_eq!(pauses.paused_time(seconds(11)), seconds(5));
}

#[test]
fn a_suspension_is_no_pause_and_takes_no_time_from_the_limit() {
    let (pauses, seconds) = (Pauses::default(), Duration::from_secs);
    pauses.suspend();
    assert!(pauses.hold_vcpus() && pauses.is_suspended() && !pauses.is_paused());
    assert_eq!(pauses.paused_time(seconds(9)), seconds(0));
    pauses.pause(seconds(9));
    assert!(pauses.end_suspension());
    assert!(pauses.hold_vcpus(), "it is still paused");
    pauses.end_pause(seconds(9));
    assert!(!pauses.hold_vcpus());
}
