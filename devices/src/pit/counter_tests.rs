use super::*;

/// A counter to which `count` was written at tick 0, so that it is loaded at tick 1.
fn counter(mode: u8, count: u16) -> Counter {
    let mut counter = Counter::new(true);
    counter.program(0x30 | mode << 1);
    load(&mut counter, count, 0);
    counter
}

fn load(counter: &mut Counter, count: u16, tick: u64) {
    for byte in count.to_le_bytes() {
        counter.write(byte, tick);
    }
}

fn outputs(counter: &Counter, ticks: std::ops::Range<u64>) -> String {
    ticks.map(|tick| if counter.output(tick) { '-' } else { '_' }).collect()
}

fn values(counter: &Counter, ticks: std::ops::Range<u64>) -> Vec<u16> {
    ticks.map(|tick| counter.value(tick)).collect()
}

/// Checks that the rises returned by [`Counter::next_rise`] are those of the output.
fn check_rises(counter: &Counter, ticks: u64) {
    for tick in 1..ticks {
        let next = (tick + 1..ticks).find(|at| counter.output(*at) && !counter.output(at - 1));
        assert_eq!(counter.next_rise(tick).filter(|at| *at < ticks), next, "after {tick}");
    }
}

// The waveforms are those of the datasheet's figures for each mode.

#[test]
fn mode_0_counts_to_zero_once() {
    let counter = counter(0, 4);
    assert_eq!(outputs(&counter, 0..9), "_____----");
    assert_eq!(values(&counter, 1..8), [4, 3, 2, 1, 0, 0xffff, 0xfffe]);
    check_rises(&counter, 200);
}

#[test]
fn mode_0_starts_over_with_a_new_count() {
    let mut counter = counter(0, 3);
    assert!(counter.output(6));
    counter.write(2, 6);
    assert_eq!(outputs(&counter, 6..20), "______________", "the first byte stops it");
    counter.write(0, 20);
    assert_eq!(outputs(&counter, 20..25), "___--");
}

#[test]
fn mode_0_stands_still_while_the_gate_is_low() {
    let mut counter = counter(0, 4);
    counter.set_gate(false, 3);
    assert_eq!(values(&counter, 2..6), [3, 2, 2, 2]);
    assert_eq!(counter.next_rise(5), None);
    counter.set_gate(true, 6);
    assert_eq!(values(&counter, 6..9), [2, 1, 0]);
    assert_eq!(outputs(&counter, 6..10), "__--");
}

#[test]
fn modes_1_and_5_wait_for_the_gate() {
    let mut shot = counter(1, 3);
    let mut strobe = counter(5, 3);
    assert_eq!(outputs(&shot, 0..9), "---------");
    for counter in [&mut shot, &mut strobe] {
        counter.set_gate(false, 9);
        counter.set_gate(true, 10);
    }
    assert_eq!(outputs(&shot, 10..16), "-___--");
    assert_eq!(outputs(&strobe, 10..17), "----_--");
    assert_eq!((shot.next_rise(10), strobe.next_rise(10)), (Some(14), Some(15)));
    shot.set_gate(false, 12);
    shot.set_gate(true, 12);
    assert_eq!(outputs(&shot, 11..18), "_____--", "triggered again");
}

#[test]
fn mode_2_is_low_for_a_tick() {
    let counter = counter(2, 3);
    assert_eq!(outputs(&counter, 0..11), "---_--_--_-");
    assert_eq!(values(&counter, 1..8), [3, 2, 1, 3, 2, 1, 3]);
    check_rises(&counter, 200);
}

#[test]
fn mode_2_takes_a_new_count_with_the_next_period() {
    let mut counter = counter(2, 4);
    load(&mut counter, 2, 2);
    assert_eq!(outputs(&counter, 1..10), "---_-_-_-");
    check_rises(&counter, 200);
    assert_eq!((counter.steady_period(1), counter.steady_period(5)), (None, Some(2)));
}

#[test]
fn mode_3_is_high_for_the_longer_half() {
    let even = counter(3, 4);
    assert_eq!(outputs(&even, 0..11), "---__--__--");
    assert_eq!(values(&even, 1..7), [4, 2, 4, 2, 4, 2]);
    let odd = counter(3, 5);
    assert_eq!(outputs(&odd, 0..12), "----__---__-");
    assert_eq!(values(&odd, 1..8), [4, 2, 0, 4, 2, 4, 2]);
    check_rises(&even, 200);
    check_rises(&odd, 200);
}

#[test]
fn a_low_gate_takes_modes_2_and_3_high_and_starts_them_over() {
    for mode in [2, 3] {
        let mut counter = counter(mode, 4);
        counter.set_gate(false, 4);
        assert_eq!(outputs(&counter, 4..20), "----------------");
        counter.set_gate(true, 20);
        let expected = if mode == 2 { "----_---" } else { "---__--_" };
        assert_eq!(outputs(&counter, 20..28), expected);
    }
}

#[test]
fn mode_4_strobes_once() {
    let counter = counter(4, 3);
    assert_eq!(outputs(&counter, 0..10), "----_-----");
    check_rises(&counter, 200);
}

#[test]
fn a_count_of_1_has_no_edges() {
    for mode in [2, 3] {
        let mut counter = counter(mode, 1);
        assert_eq!(outputs(&counter, 0..5), "-----");
        check_rises(&counter, 100);
        load(&mut counter, 3, 4);
        check_rises(&counter, 100);
        load(&mut counter, 1, 50);
        check_rises(&counter, 100);
    }
}

#[test]
fn bcd_counts() {
    let mut counter = Counter::new(true);
    counter.program(0x31); // mode 0, BCD
    load(&mut counter, 0x1000, 0);
    assert_eq!(values(&counter, 1..4), [0x1000, 0x0999, 0x0998]);
    assert_eq!(counter.next_rise(0), Some(1001));
    assert_eq!(counter.value(1002), 0x9999);
    load(&mut counter, 0, 0);
    assert_eq!(counter.next_rise(0), Some(10_001));
    load(&mut counter, 0xffff, 0); // no digits
    assert_eq!(counter.next_rise(0), Some(16_666));
}

#[test]
fn bytes() {
    let mut counter = Counter::new(true);
    counter.program(0x10); // the lower byte alone
    counter.write(5, 0);
    assert_eq!(counter.value(1), 5);
    assert_eq!((counter.read(2), counter.read(3)), (4, 3));
    counter.program(0x20); // the upper byte alone
    counter.write(5, 0);
    assert_eq!(counter.value(1), 0x500);
    assert_eq!(counter.read(2), 4);
    counter.program(0x30); // both
    load(&mut counter, 0x1234, 0);
    assert_eq!((counter.read(1), counter.read(1), counter.read(2)), (0x34, 0x12, 0x33));
}

#[test]
fn a_latched_count_waits_to_be_read() {
    let mut counter = counter(0, 0x1234);
    counter.latch_count(1);
    counter.latch_count(100); // one is held already
    assert_eq!((counter.read(200), counter.read(201)), (0x34, 0x12));
    assert_eq!(counter.read(1 + 0x34), 0x00, "then the running one");
}

#[test]
fn status_comes_before_the_count() {
    let mut counter = counter(2, 0x1234);
    counter.latch_count(1);
    counter.latch_status(0); // not loaded yet
    counter.latch_status(1);
    assert_eq!(counter.read(5), 0b1111_0100);
    assert_eq!((counter.read(5), counter.read(5)), (0x34, 0x12));
    counter.latch_status(1);
    assert_eq!(counter.read(5), 0b1011_0100);
}
