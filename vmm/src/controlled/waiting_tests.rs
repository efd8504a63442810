use super::*;

const MAX_LOOP: usize = 64;

fn bytes(value: u32) -> Bytes {
    Bytes::from_slice(&value.to_le_bytes())
}

#[test]
fn a_loop_that_reads_the_same_waits() {
    let mut trail = Trail::default();
    assert!(!trail.arrive(1, MAX_LOOP));
    trail.read(0x1000, &bytes(7));
    assert!(!trail.arrive(2, MAX_LOOP), "the first round loads a register");
    trail.read(0x1000, &bytes(7));
    assert!(trail.arrive(2, MAX_LOOP));
    assert!(trail.watches(0x1002, 1) && !trail.watches(0x1004, 4) && !trail.watches(0xff8, 8));
}

#[test]
fn another_value_is_news() {
    let mut trail = Trail::default();
    trail.arrive(1, MAX_LOOP);
    trail.read(0x1000, &bytes(7));
    trail.read(0x1000, &bytes(8));
    assert!(!trail.arrive(1, MAX_LOOP));
}

#[test]
fn a_counter_in_a_register_never_waits() {
    let mut trail = Trail::default();
    for round in 0..1000 {
        trail.read(0x1000, &bytes(7));
        assert!(!trail.arrive(round, MAX_LOOP));
    }
    assert!(trail.points.len() <= MAX_LOOP);
}
