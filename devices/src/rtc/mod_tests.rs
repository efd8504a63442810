use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn the_start_is_told_the_same_way_twice() {
    let epoch = Date { year: 1970, ..START_DATE };
    assert_eq!(epoch.plus(START_UNIX), START_DATE);
}

fn get(rtc: &mut Rtc, index: u8, now: u64) -> u8 {
    rtc.write(RTC_INDEX, index, now);
    rtc.read(RTC_DATA, now)
}

fn set(rtc: &mut Rtc, index: u8, value: u8, now: u64) {
    rtc.write(RTC_INDEX, index, now);
    rtc.write(RTC_DATA, value, now);
}

/// Century, year, month, day, weekday, hour, minute, second.
fn time(rtc: &mut Rtc, now: u64) -> [u8; 8] {
    [
        reg::CENTURY,
        reg::YEAR,
        reg::MONTH,
        reg::DAY,
        reg::WEEKDAY,
        reg::HOUR,
        reg::MINUTE,
        reg::SECOND,
    ]
    .map(|index| get(rtc, index, now))
}

#[test]
fn the_time_starts_at_a_fixed_date() {
    let mut rtc = Rtc::new();
    assert_eq!(time(&mut rtc, 0), [0x20, 0x26, 1, 1, 5, 0, 0, 0]);
    let later = (47 * 3600 + 12 * 60 + 34) * SECOND;
    assert_eq!(time(&mut rtc, later), [0x20, 0x26, 1, 2, 6, 0x23, 0x12, 0x34]);
    let [century, year, month, day, ..] = time(&mut rtc, 0);
    let start = format!("{century:02x}{year:02x}-{month:02x}-{day:02x}T00:00:00");
    assert_eq!(start, START);
}

#[test]
fn after_firmware() {
    let mut rtc = Rtc::new();
    assert_eq!(get(&mut rtc, reg::A, 0), 0x26);
    assert_eq!(get(&mut rtc, reg::B, 0), 0x02);
    assert_eq!(get(&mut rtc, reg::C, 0), 0);
    assert_eq!(get(&mut rtc, reg::D, 0), 0x80);
    assert_eq!(rtc.read(RTC_INDEX, 0), 0xff);
    assert_eq!((rtc.irq(), rtc.next_deadline()), (false, None));
}

#[test]
fn binary_and_12_hours() {
    let mut rtc = Rtc::new();
    set(&mut rtc, reg::B, reg::B_BINARY, 0);
    for (hour, expected) in [(0, 12), (1, 1), (11, 11), (12, 0x8c), (13, 0x81), (23, 0x8b)] {
        assert_eq!(get(&mut rtc, reg::HOUR, hour * 3600 * SECOND), expected);
        set(&mut rtc, reg::HOUR, expected, 0);
        assert_eq!(get(&mut rtc, reg::HOUR, 0), expected);
        set(&mut rtc, reg::HOUR, 12, 0);
    }
    set(&mut rtc, reg::B, 0, 0);
    assert_eq!(get(&mut rtc, reg::HOUR, 22 * 3600 * SECOND), 0x90);
    assert_eq!(get(&mut rtc, reg::MINUTE, 45 * 60 * SECOND), 0x45);
}

#[test]
fn setting_the_time() {
    let mut rtc = Rtc::new();
    let now = 5 * SECOND / 2;
    set(&mut rtc, reg::B, reg::B_SET | reg::B_24_HOURS, now);
    for (index, value) in [
        (reg::CENTURY, 0x19),
        (reg::YEAR, 0x99),
        (reg::MONTH, 0x12),
        (reg::DAY, 0x31),
        (reg::HOUR, 0x23),
        (reg::MINUTE, 0x59),
        (reg::SECOND, 0x59),
    ] {
        set(&mut rtc, index, value, now);
    }
    assert_eq!(time(&mut rtc, 90 * SECOND), [0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59]);
    set(&mut rtc, reg::B, reg::B_24_HOURS, 100 * SECOND + 1);
    assert_eq!(time(&mut rtc, 101 * SECOND), [0x20, 0x00, 1, 1, 7, 0, 0, 0]);
}

#[test]
fn set_clears_the_update_interrupt() {
    let mut rtc = Rtc::new();
    set(&mut rtc, reg::B, reg::C_UPDATE | reg::B_24_HOURS, 0);
    assert_eq!(rtc.next_deadline(), Some(SECOND));
    set(&mut rtc, reg::B, reg::B_SET | reg::C_UPDATE, 0);
    assert_eq!(get(&mut rtc, reg::B, 0), reg::B_SET);
    assert_eq!(rtc.next_deadline(), None);
}

#[test]
fn an_interrupt_at_the_end_of_each_second() {
    let mut rtc = Rtc::new();
    set(&mut rtc, reg::B, reg::C_UPDATE | reg::B_24_HOURS, 0);
    assert!(!rtc.advance(SECOND - 1));
    assert!(rtc.advance(SECOND));
    assert_eq!(rtc.next_deadline(), None, "until C is read");
    assert_eq!(get(&mut rtc, reg::C, SECOND), 0xd0, "a period has passed too");
    assert!(!rtc.irq());
    assert_eq!(rtc.next_deadline(), Some(2 * SECOND));
    assert_eq!(get(&mut rtc, reg::C, SECOND), 0);
}

#[test]
fn the_alarm() {
    let mut rtc = Rtc::new();
    for (index, value) in [(reg::HOUR_ALARM, 0xff), (reg::MINUTE_ALARM, 1), (reg::SECOND_ALARM, 0)]
    {
        set(&mut rtc, index, value, 0);
        assert_eq!(get(&mut rtc, index, 0), value);
    }
    set(&mut rtc, reg::B, reg::C_ALARM | reg::B_24_HOURS, 0);
    assert_eq!(rtc.next_deadline(), Some(60 * SECOND));
    assert!(rtc.advance(60 * SECOND));
    assert_eq!(get(&mut rtc, reg::C, 60 * SECOND) & 0xa0, 0xa0);
    assert_eq!(rtc.next_deadline(), Some(3660 * SECOND));
}

#[test]
fn periodic_rates() {
    for (rate, hertz) in [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)] {
        let mut rtc = Rtc::new();
        set(&mut rtc, reg::A, 0x20 | rate, 0);
        set(&mut rtc, reg::B, reg::C_PERIODIC | reg::B_24_HOURS, 0);
        let mut now = 0;
        for _ in 0..hertz {
            now = rtc.next_deadline().unwrap();
            assert!(!rtc.advance(now - 1));
            assert!(rtc.advance(now));
            get(&mut rtc, reg::C, now);
        }
        assert_eq!(now, SECOND, "rate {rate}");
    }
    let mut rtc = Rtc::new();
    set(&mut rtc, reg::A, 0x20, 0);
    set(&mut rtc, reg::B, reg::C_PERIODIC, 0);
    assert_eq!(rtc.next_deadline(), None);
}

#[test]
fn flags_can_be_polled_without_interrupts() {
    let mut rtc = Rtc::new();
    let before = rtc.clone();
    assert!(!rtc.advance(10 * SECOND));
    assert_eq!(rtc, before, "nobody listens: nothing changes");
    assert_eq!(get(&mut rtc, reg::C, 10 * SECOND), reg::C_PERIODIC | reg::C_UPDATE);
    assert_eq!(get(&mut rtc, reg::C, 10 * SECOND), 0);
}

#[test]
fn a_flag_that_is_set_interrupts_when_it_is_enabled() {
    let mut rtc = Rtc::new();
    set(&mut rtc, reg::B, reg::C_UPDATE, 3 * SECOND);
    assert!(rtc.irq());
}

#[test]
fn ram() {
    let mut rtc = Rtc::new();
    for index in (0x0e..0x80).filter(|index| *index != reg::CENTURY) {
        set(&mut rtc, index, index ^ 0x55, 0);
    }
    assert_eq!(get(&mut rtc, 0x8e, 0), 0x0e ^ 0x55, "bit 7 is the NMI mask");
    assert_eq!(get(&mut rtc, 0x7f, 0), 0x7f ^ 0x55);
}

proptest! {
    /// Nothing panics, and the line is asserted exactly at the deadline.
    #[test]
    fn whatever_the_guest_does(steps in prop::collection::vec((
        prop_oneof![4 => 0u8..0x0e, 1 => Just(reg::CENTURY), 1 => any::<u8>()],
        prop::option::of(any::<u8>()),
        prop_oneof![4 => 0u64..10_000_000, 4 => 0u64..5 * SECOND, 1 => 0u64..1 << 60],
    ), 1..200)) {
        let mut rtc = Rtc::new();
        let mut now = 0u64;
        for (index, value, by) in steps {
            match value {
                Some(value) => set(&mut rtc, index, value, now),
                None => { get(&mut rtc, index, now); }
            }
            time(&mut rtc, now);
            rtc.advance(now);
            now = now.saturating_add(by);
            if let Some(deadline) = rtc.next_deadline() {
                prop_assert!(!rtc.clone().advance(deadline - 1));
                prop_assert!(rtc.clone().advance(deadline));
            } else {
                let irq = rtc.irq();
                prop_assert_eq!(rtc.clone().advance(u64::MAX), irq);
            }
            rtc.advance(now);
        }
    }
}
