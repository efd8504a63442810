use super::*;

const NOON: Date = Date { year: 2026, month: 1, day: 1, hour: 12, minute: 0, second: 0 };

fn alarm(hour: Option<u8>, minute: Option<u8>, second: Option<u8>) -> Option<u32> {
    Alarm { hour, minute, second }.seconds_from(NOON)
}

#[test]
fn today_or_tomorrow() {
    assert_eq!(alarm(Some(12), Some(0), Some(1)), Some(1));
    assert_eq!(alarm(Some(23), Some(59), Some(59)), Some(43_199));
    assert_eq!(alarm(Some(0), Some(0), Some(0)), Some(43_200));
    assert_eq!(alarm(Some(12), Some(0), Some(0)), Some(DAY), "not now: in a day");
}

#[test]
fn any() {
    assert_eq!(alarm(None, None, None), Some(1));
    assert_eq!(alarm(None, None, Some(0)), Some(60));
    assert_eq!(alarm(None, Some(0), Some(0)), Some(3600));
    assert_eq!(alarm(None, Some(30), None), Some(1800));
    assert_eq!(alarm(Some(13), None, Some(5)), Some(3605));
}

#[test]
fn times_that_never_come() {
    assert_eq!(alarm(Some(24), None, None), None);
    assert_eq!(alarm(None, Some(60), None), None);
    assert_eq!(alarm(None, None, Some(60)), None);
}
