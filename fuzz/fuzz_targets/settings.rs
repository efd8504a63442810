//! The values of options: each is read, and what is written of it is read again as the same.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use vmm::identity::Identity;
use vmm::jitter::{JitterSpec, Range};
use vmm::limits::{Watchdog, parse_time};
use vmm::memory::MemorySize;
use vmm::{CpuCount, DiskConfig, FaultSpec};

fn check<T: FromStr<Err: Display> + Display>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            let again = written.parse::<T>().map(|again| again.to_string());
            let again = again.unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(again, written);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fuzz_target!(|text: &str| {
    check::<JitterSpec>(text);
    check::<Range>(text);
    check::<FaultSpec>(text);
    check::<DiskConfig>(text);
    check::<MemorySize>(text);
    check::<CpuCount>(text);
    check::<Identity>(text);
    check::<Watchdog>(text);
    let _ = parse_time(text);
});
