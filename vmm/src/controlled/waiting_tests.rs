use super::*;

const MAX_LOOP: usize = 64;

fn bytes(value: u32) -> Bytes {
    Bytes::from_slice(&value.to_le_bytes())
}

#[test]
fn a_loop_that_reads_the_same_waits() {
    let mut tracker = ProgressTracker::default();
    assert!(!tracker.arrive(1, MAX_LOOP));
    tracker.read(0x1000, &bytes(7));
    assert!(!tracker.arrive(2, MAX_LOOP), "the first round loads a register");
    tracker.read(0x1000, &bytes(7));
    assert!(tracker.arrive(2, MAX_LOOP));
    assert!(
        tracker.watches(0x1002, 1) && !tracker.watches(0x1004, 4) && !tracker.watches(0xff8, 8)
    );
}

#[test]
fn another_value_is_news() {
    let mut tracker = ProgressTracker::default();
    tracker.arrive(1, MAX_LOOP);
    tracker.read(0x1000, &bytes(7));
    tracker.read(0x1000, &bytes(8));
    assert!(!tracker.arrive(1, MAX_LOOP));
}

#[test]
fn a_counter_in_a_register_never_waits() {
    let mut tracker = ProgressTracker::default();
    for run_loops_once in 0..1000 {
        tracker.read(0x1000, &bytes(7));
        assert!(!tracker.arrive(run_loops_once, MAX_LOOP));
    }
    assert!(tracker.points.len() <= MAX_LOOP);
}
