//! The times that a user gives as limits: one reading for the command line and for experiment
//! files.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::watchdog::MIN_WINDOW;

/// The longest time. Timers count in 64-bit nanoseconds; a year is as good as no limit.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// How long to wait for a sign of life of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// As long as the guest likes.
    Off,
    /// This long.
    After(Duration),
}

impl FromStr for Watchdog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let window = parse_time(text)?;
        if window < MIN_WINDOW {
            return Err(format!("at least {MIN_WINDOW:?}, or off"));
        }
        Ok(Self::After(window))
    }
}

impl fmt::Display for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::After(window) => f.write_str(&time_text(*window)),
        }
    }
}

/// Reads a time such as `500ms`, `3s`, `2m`; a plain number counts seconds.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    const HINT: &str = "not a time: write for example 500ms, 3s or 2m";
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| HINT)?,
        Err(_) => humantime::parse_duration(text).map_err(|_| HINT)?,
    };
    match time {
        Duration::ZERO => Err("must be more than zero".into()),
        time if time > LONGEST => Err("at most a year".into()),
        time => Ok(time),
    }
}

/// The text of a time that [`parse_time`] reads, without spaces.
pub fn time_text(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
