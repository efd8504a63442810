//! Schedules.
#![no_main]

use experiments::Schedule;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(schedule) = text.parse::<Schedule>() {
        let written = schedule.to_string();
        assert_eq!(written.parse::<Schedule>().ok(), Some(schedule), "{written}");
    }
});
