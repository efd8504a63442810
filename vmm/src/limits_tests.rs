use super::*;

#[test]
fn times_are_read() {
    assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_time("3"), Ok(Duration::from_secs(3)));
    assert_eq!(parse_time("0.5"), Ok(Duration::from_millis(500)));
    for bad in ["", "soon", "-1", "0", "0s", "nan", "inf", "9000y"] {
        assert!(parse_time(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_text_of_a_time_is_read_as_that_time() {
    for text in ["500ms", "3s", "1m30s", "2h5ms"] {
        assert_eq!(time_text(parse_time(text).unwrap()), text);
    }
    for text in ["off", "1s500ms"] {
        assert_eq!(text.parse::<Watchdog>().unwrap().to_string(), text);
    }
}

#[test]
fn a_watchdog_can_be_off() {
    assert_eq!("off".parse(), Ok(Watchdog::Off));
    assert_eq!("5s".parse(), Ok(Watchdog::After(Duration::from_secs(5))));
    assert!("10ms".parse::<Watchdog>().is_err());
}
