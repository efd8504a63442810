//! Determines when the alarm goes off.

use super::date::Date;

/// The alarm's hour, minute and second; `None` means "any".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) hour: Option<u8>,
    pub(super) minute: Option<u8>,
    pub(super) second: Option<u8>,
}

const DAY: u32 = 86_400;

impl Alarm {
    /// The number of seconds from `date` until the alarm next goes off: 1 to a day. `None` if no
    /// day has such a time.
    pub(super) fn seconds_from(self, date: Date) -> Option<u32> {
        let legal = |field: Option<u8>, below| field.is_none_or(|field| field < below);
        if !(legal(self.hour, 24) && legal(self.minute, 60) && legal(self.second, 60)) {
            return None;
        }
        let from = date.second_of_day() + 1;
        let mut at = from;
        // It advances by hours, then minutes, then seconds, which takes few steps.
        while at < from + DAY {
            let step = if !matches(self.hour, at / 3600 % 24) {
                3600
            } else if !matches(self.minute, at / 60 % 60) {
                60
            } else if !matches(self.second, at % 60) {
                1
            } else {
                return Some(at - from + 1);
            };
            at = (at / step + 1) * step;
        }
        None
    }
}

fn matches(alarm: Option<u8>, value: u32) -> bool {
    alarm.is_none_or(|alarm| u32::from(alarm) == value)
}

#[cfg(test)]
#[path = "alarm_tests.rs"]
mod tests;
