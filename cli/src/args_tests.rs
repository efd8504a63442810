use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

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
fn a_watchdog_can_be_off() {
    assert!(matches!("off".parse(), Ok(Watchdog::Off)));
    assert!(matches!("5s".parse(), Ok(Watchdog::After(time)) if time == Duration::from_secs(5)));
    assert!("10ms".parse::<Watchdog>().is_err());
}
