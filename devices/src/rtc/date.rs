//! Dates, as a clock chip counts them.

/// A time, to the second, in the proleptic Gregorian calendar.
///
/// A guest can set the fields one by one, so they may temporarily be no valid date ("February 31");
/// [`Date::plus`] uses the nearest valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Date {
    /// 0 to 9999, the range of two registers of two digits each.
    pub(super) year: u16,
    /// 1 to 12.
    pub(super) month: u8,
    /// 1 to 31.
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

const DAY: u64 = 86_400;
/// The number of days in 400 years, after which the calendar repeats.
const DAYS_IN_ERA: u64 = 146_097;

impl Date {
    /// This date plus a number of seconds. Years after 9999 start over, as the registers do.
    pub(super) fn plus(self, seconds: u64) -> Self {
        if seconds == 0 {
            return self;
        }
        let at = self.days() * DAY + u64::from(self.second_of_day()) + seconds % ROUND;
        let second = (at % DAY) as u32;
        let (year, month, day) = civil(at / DAY);
        Self {
            year: ((year + 10_000 - 400) % 10_000) as u16,
            month,
            day,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    /// The day of the week; 1 is Sunday.
    pub(super) fn weekday(self) -> u8 {
        // Day 0 is a Wednesday.
        ((self.days() + 3) % 7 + 1) as u8
    }

    pub(super) fn second_of_day(self) -> u32 {
        let (hour, minute) = (u32::from(self.hour.min(23)), u32::from(self.minute.min(59)));
        hour * 3600 + minute * 60 + u32::from(self.second.min(59))
    }

    /// Days since 1 March 400 years before the year 0 (so that no year is negative). January and
    /// February count as the end of the year before, so that the leap day is a year's last day.
    fn days(self) -> u64 {
        let month = u64::from(self.month.clamp(1, 12));
        let day = u64::from(self.day.clamp(1, days_in(self.year, month)));
        let year = u64::from(self.year) + 400;
        let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1
    }
}

/// The seconds of 10,000 years, after which the registers repeat.
const ROUND: u64 = 25 * DAYS_IN_ERA * DAY;

fn days_in(year: u16, month: u64) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The year (with 400 added), month and day of a day number as in [`Date::days`].
fn civil(days: u64) -> (u64, u8, u8) {
    let (era, day) = (days / DAYS_IN_ERA, days % DAYS_IN_ERA);
    // Leap days: one in 4 years, except in the 100th, but again in the 400th.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month as u8, day as u8)
}

#[cfg(test)]
#[path = "date_tests.rs"]
mod tests;
