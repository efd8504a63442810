use proptest::prelude::*;

use super::*;

/// Programs a counter with both bytes of a count.
fn program(pit: &mut Pit, channel: u8, mode: u8, count: u16, now: u64) {
    pit.write(CONTROL, channel << 6 | 0x30 | mode << 1, now);
    for byte in count.to_le_bytes() {
        pit.write(PIT_FIRST + u16::from(channel), byte, now);
    }
}

#[test]
fn counts_nothing_at_first() {
    let mut pit = Pit::new();
    assert_eq!(pit.next_deadline(), None);
    assert_eq!(pit.advance(u64::MAX), 0);
    assert_eq!(pit.read(CONTROL, 0), 0xff);
    assert!(pit.output(0, 0) && !pit.output(3, 0));
}

#[test]
fn ticks_a_second() {
    assert_eq!(ticks(1_000_000_000), 1_193_182);
    assert_eq!(ticks(3_600_000_000_000), 3600 * 1_193_182);
    assert_eq!(time(1_193_182), Some(1_000_000_000));
    assert_eq!(time(u64::MAX), None);
}

#[test]
fn a_thousand_interrupts_a_second() {
    let mut pit = Pit::new();
    program(&mut pit, 0, 2, 1193, 0);
    // 1,193,182 / 1193 is 1000.15.
    assert_eq!(pit.advance(1_000_000_000), 1000);
    assert_eq!(pit.advance(3_600_000_000_000), 1000 * 3600 + 549 - 1000);
}

#[test]
fn a_one_shot_interrupts_once() {
    let mut pit = Pit::new();
    program(&mut pit, 0, 0, 100, 0);
    let deadline = pit.next_deadline().unwrap();
    assert_eq!(Some(deadline), time(101));
    assert_eq!(pit.advance(deadline - 1), 0);
    assert_eq!(pit.advance(deadline), 1);
    assert_eq!(pit.next_deadline(), None);
}

#[test]
fn an_output_that_a_new_mode_takes_high_is_an_edge() {
    let mut pit = Pit::new();
    program(&mut pit, 0, 0, 100, 0);
    program(&mut pit, 0, 2, 100, 10);
    assert_eq!(pit.next_deadline(), Some(0));
    assert_eq!(pit.advance(10), 1);
    assert!(pit.next_deadline() > Some(10));
}

#[test]
fn edges_end_with_a_count_of_1() {
    let mut pit = Pit::new();
    program(&mut pit, 0, 2, 3, 0);
    for byte in [1, 0] {
        pit.write(PIT_FIRST, byte, time(5).unwrap());
    }
    // At tick 4, and at tick 7, where the new count takes over.
    assert_eq!(pit.advance(1_000_000), 2);
    assert_eq!(pit.next_deadline(), None);
}

/// Linux's `pit_calibrate_tsc`: open the gate, count down in mode 0, wait for the output.
#[test]
fn the_gate_and_the_output_of_counter_2() {
    let mut pit = Pit::new();
    program(&mut pit, 2, 0, 59_659, 0); // 50 ms
    assert_eq!(pit.read(SPEAKER_PORT, 60_000_000) & 0x21, 0, "the gate is closed");
    let start = 60_000_000;
    pit.write(SPEAKER_PORT, 1, start);
    program(&mut pit, 2, 0, 59_659, start);
    assert_eq!(pit.read(SPEAKER_PORT, start + 49_999_000) & 0x21, 0x01);
    assert_eq!(pit.read(SPEAKER_PORT, start + 50_002_000) & 0x21, 0x21);
    assert_eq!(pit.next_deadline(), None, "it interrupts nobody");
}

#[test]
fn the_speaker_port_keeps_its_bits() {
    let mut pit = Pit::new();
    pit.write(SPEAKER_PORT, 0xff, 0);
    assert_eq!(pit.read(SPEAKER_PORT, 0), 0b0010_1111);
    pit.write(SPEAKER_PORT, 0, 0);
    assert_eq!(pit.read(SPEAKER_PORT, 0), 0b0010_0000);
}

#[test]
fn refresh_changes_every_15_us() {
    let mut pit = Pit::new();
    let changes = (0..1_000_000).step_by(1000).filter(|now| {
        let before = pit.read(SPEAKER_PORT, *now) & 0x10;
        before != pit.read(SPEAKER_PORT, now + 1000) & 0x10
    });
    assert_eq!(changes.count(), 66); // a millisecond
}

#[test]
fn read_back_holds_several_counters() {
    let mut pit = Pit::new();
    program(&mut pit, 0, 2, 1000, 0);
    program(&mut pit, 1, 3, 18, 0);
    let later = time(11).unwrap();
    pit.write(CONTROL, 0b1100_0110, later); // count and status of 0 and 1
    let much_later = 1_000_000;
    let mut read = |port| pit.read(port, much_later);
    assert_eq!([read(0x40), read(0x40), read(0x40)], [0b1011_0100, 0xde, 0x03]); // 990
    assert_eq!([read(0x41), read(0x41), read(0x41)], [0b0011_0110, 16, 0]);
}

#[test]
fn the_latch_command() {
    let mut pit = Pit::new();
    program(&mut pit, 0, 2, 1000, 0);
    pit.write(CONTROL, 0x00, time(1).unwrap());
    assert_eq!(pit.read(0x40, 1_000_000), 0xe8);
    assert_eq!(pit.read(0x40, 1_000_000), 3);
}

proptest! {
    #[test]
    fn times_of_ticks_are_exact(tick in 0u64..1 << 53) {
        let at = time(tick).unwrap();
        prop_assert_eq!(ticks(at), tick);
        prop_assert!(at == 0 || ticks(at - 1) == tick - 1);
    }

    /// The n-th edge comes at exactly n periods, independent of when the edges are taken.
    #[test]
    fn periods_do_not_drift(
        count in 2u16..,
        square in any::<bool>(),
        start in 0u64..1 << 40,
        late in prop::collection::vec(0u64..100_000_000, 1..50),
    ) {
        let mut pit = Pit::new();
        program(&mut pit, 0, if square { 3 } else { 2 }, count, start);
        let first = ticks(start) + 1;
        let mut taken = 0;
        for late in late {
            let deadline = pit.next_deadline().unwrap();
            prop_assert_eq!(Some(deadline), time(first + (taken + 1) * u64::from(count)));
            prop_assert_eq!(pit.clone().advance(deadline - 1), 0);
            prop_assert!(pit.output(0, deadline));
            taken += pit.advance(deadline);
            taken += pit.advance(deadline + late);
            prop_assert_eq!(taken, (ticks(deadline + late) - first) / u64::from(count));
        }
    }

    /// Nothing panics, deadlines are never in the past, and many short steps have the effect of one
    /// long step.
    #[test]
    fn whatever_the_guest_does(steps in prop::collection::vec((
        prop_oneof![8 => 0x3fu16..0x45, 2 => Just(0x61u16), 1 => any::<u16>()],
        any::<u8>(),
        any::<bool>(),
        prop_oneof![8 => 0u64..100_000, 2 => 0u64..1_000_000_000, 1 => 0u64..1 << 60],
    ), 1..200)) {
        let mut pit = Pit::new();
        let mut now = 0u64;
        for (port, value, write, by) in steps {
            if write { pit.write(port, value, now); } else { pit.read(port, now); }
            pit.advance(now);
            now = now.saturating_add(by);
            let mut once = pit.clone();
            let mut edges = 0;
            for _ in 0..20 {
                let due = pit.next_deadline().filter(|deadline| *deadline <= now);
                let Some(deadline) = due else { break };
                let step = pit.advance(deadline);
                prop_assert_eq!(step, 1);
                edges += step;
            }
            prop_assert_eq!(edges + pit.advance(now), once.advance(now));
            prop_assert_eq!(&pit, &once);
            prop_assert!(pit.next_deadline().is_none_or(|deadline| deadline > now));
        }
    }
}
