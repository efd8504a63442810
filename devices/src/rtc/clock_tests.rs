use super::*;

const START: Date = Date { year: 2026, month: 1, day: 1, hour: 0, minute: 0, second: 0 };

#[test]
fn seconds() {
    let clock = Clock::new(START);
    assert_eq!(clock.date(SECOND - 1), START);
    assert_eq!(clock.date(SECOND).second, 1);
    assert_eq!(clock.date(86_400 * SECOND).day, 2);
    assert_eq!(clock.next_update(0), Some(SECOND));
    assert_eq!(clock.next_update(SECOND), Some(2 * SECOND));
    assert_eq!(clock.next_update(u64::MAX), None);
}

#[test]
fn an_update_announces_itself() {
    let clock = Clock::new(START);
    assert!(!clock.updating(SECOND - UPDATING - 1));
    assert!(clock.updating(SECOND - UPDATING));
    assert!(clock.updating(SECOND - 1));
    assert!(!clock.updating(SECOND));
}

#[test]
fn frozen_time_goes_on_in_step() {
    let mut clock = Clock::new(START);
    clock.freeze(true, 3 * SECOND + 7);
    assert_eq!(clock.date(90 * SECOND).second, 3);
    assert_eq!(clock.next_update(90 * SECOND), None);
    clock.set_date(90 * SECOND, |date| date.minute = 5);
    clock.freeze(false, 100 * SECOND + 7);
    assert_eq!(clock.next_update(100 * SECOND + 7), Some(101 * SECOND));
    assert_eq!((clock.date(101 * SECOND).minute, clock.date(101 * SECOND).second), (5, 4));
}

#[test]
fn a_divider_reset_updates_after_half_a_second() {
    let mut clock = Clock::new(START);
    clock.run(false, 300);
    assert_eq!((clock.next_update(400), clock.next_period(32, 400)), (None, None));
    assert_eq!(clock.date(10 * SECOND), START);
    clock.run(true, 10 * SECOND);
    clock.run(true, 10 * SECOND + 5); // nothing new
    assert_eq!(clock.next_update(10 * SECOND + 5), Some(10 * SECOND + SECOND / 2));
    assert_eq!(clock.next_period(32, 10 * SECOND), Some(10 * SECOND + 976_563));
}

#[test]
fn periods_are_exact() {
    let clock = Clock::new(START);
    let mut now = 0;
    for _ in 0..1024 {
        now = clock.next_period(32, now).unwrap(); // 1,024 Hz
    }
    assert_eq!(now, SECOND);
    assert_eq!(clock.next_period(32, u64::MAX), None);
}
