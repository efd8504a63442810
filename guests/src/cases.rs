//! Guests that users reported, or about which a verdict was once wrong. Only tests run them; the
//! program doesn't list them.

use crate::catalogue::image;

/// A guest that is not in the catalogue.
#[derive(Debug)]
pub struct Case {
    /// The name of its file in `guests/cases`, without the ending.
    pub name: &'static str,
    /// The ELF image, page-aligned, so that it can be parsed in place.
    pub image: &'static [u8],
    /// The number of vCPUs that it is meant for.
    pub cpus: u32,
}

/// All cases.
pub fn cases() -> &'static [Case] {
    CASES
}

/// The case with this name.
pub fn case(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

macro_rules! cases {
    ($($name:literal $cpus:literal),+ $(,)?) => {
        &[$(Case { name: $name, image: image!(concat!("case-", $name)), cpus: $cpus }),+]
    };
}

static CASES: &[Case] = cases![
    "calls" 2,
    "chatty" 1,
    "corruptible" 1,
    "delicate" 1,
    "disturbed" 2,
    "doorbell" 3,
    "doorbell-strict" 3,
    "eoi-enabled" 2,
    "fault-before-interrupt" 2,
    "fault-flags" 2,
    "fault-in-computation" 2,
    "fault-of-access" 2,
    "fault-of-access-nmi" 2,
    "gives-up" 2,
    "idle" 2,
    "impatient" 2,
    "init-of-copy" 2,
    "kvm-clock" 1,
    "locked-fault" 2,
    "locked-fault-computes" 2,
    "lost-ipi" 3,
    "made-code" 2,
    "masked" 2,
    "nmi-after-init" 2,
    "nmi-before-store" 2,
    "nmi-in-nmi" 2,
    "other-segment" 2,
    "overlap" 2,
    "percpu-uaf" 2,
    "percpu-uaf-edited" 2,
    "priv" 2,
    "queued-at-end" 2,
    "registers" 1,
    "ring" 4,
    "stuck" 2,
    "task-priority" 2,
    "tscloop" 2,
    "two-clocks" 2,
    "user-clock" 2,
    "user-computes" 2,
    "user-loop" 2,
    "waits" 2,
    "window" 2,
    "window-polled" 2,
];
