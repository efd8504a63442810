use proptest::prelude::*;

use super::*;

fn date(year: u16, month: u8, day: u8) -> Date {
    Date { year, month, day, hour: 0, minute: 0, second: 0 }
}

#[test]
fn weekdays() {
    assert_eq!(date(2026, 1, 1).weekday(), 5); // a Thursday
    assert_eq!(date(2000, 2, 29).weekday(), 3); // a Tuesday
    assert_eq!(date(1970, 1, 1).weekday(), 5);
    assert_eq!(date(0, 1, 1).weekday(), 7); // a Saturday
}

#[test]
fn years_end_and_leap() {
    let last = Date { hour: 23, minute: 59, second: 59, ..date(2026, 12, 31) };
    assert_eq!(last.plus(1), date(2027, 1, 1));
    assert_eq!(date(2028, 2, 28).plus(DAY), date(2028, 2, 29));
    assert_eq!(date(2026, 2, 28).plus(DAY), date(2026, 3, 1));
    assert_eq!(date(2100, 2, 28).plus(DAY), date(2100, 3, 1));
    assert_eq!(date(2000, 2, 28).plus(DAY), date(2000, 2, 29));
    assert_eq!(date(9999, 12, 31).plus(DAY), date(0, 1, 1));
    assert_eq!(date(0, 1, 1).plus(DAY), date(0, 1, 2));
}

#[test]
fn what_is_no_date_becomes_one() {
    assert_eq!(date(2026, 2, 31).plus(1).day, 28);
    let wrong = Date { year: 2026, month: 0xff, day: 0, hour: 99, minute: 99, second: 255 };
    assert_eq!(wrong.plus(0), wrong);
    assert_eq!(wrong.plus(1), date(2026, 12, 2));
}

proptest! {
    /// Compares with counting day by day.
    #[test]
    fn the_day_after(year in 0u16..9999, month in 1u8..=12, day in 1u8..=31) {
        let length = days_in(year, month.into());
        prop_assume!(day <= length);
        let expected = match (month, day == length) {
            (_, false) => date(year, month, day + 1),
            (12, true) => date(year + 1, 1, 1),
            (_, true) => date(year, month + 1, 1),
        };
        prop_assert_eq!(date(year, month, day).plus(DAY), expected);
        prop_assert_eq!(expected.weekday() % 7, (date(year, month, day).weekday() + 1) % 7);
    }

    #[test]
    fn steps_add_up(a in any::<u32>(), b in any::<u32>()) {
        let start = date(2026, 1, 1);
        let at_once = start.plus(u64::from(a) + u64::from(b));
        prop_assert_eq!(start.plus(a.into()).plus(b.into()), at_once);
    }
}
