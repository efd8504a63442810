//! Guests that users reported, or that a verdict was once wrong about: what tests run. The program
//! doesn't list them.

use crate::catalogue::image;

/// A guest that belongs to no catalogue.
#[derive(Debug)]
pub struct Case {
    /// The name of its file in `guests/cases`, without the ending.
    pub name: &'static str,
    /// The ELF image, page-aligned, so that it may be parsed where it lies.
    pub image: &'static [u8],
    /// How many vCPUs it is about.
    pub cpus: u32,
}

/// All cases.
pub fn cases() -> &'static [Case] {
    CASES
}

/// The case of that name.
pub fn case(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

macro_rules! cases {
    ($($name:literal $cpus:literal),+ $(,)?) => {
        &[$(Case { name: $name, image: image!(concat!("case-", $name)), cpus: $cpus }),+]
    };
}

static CASES: &[Case] = cases![
    "chatty" 1,
    "gives-up" 2,
    "idle" 2,
    "lost-ipi" 3,
    "made-code" 2,
    "masked" 2,
    "overlap" 2,
    "percpu-uaf" 2,
    "percpu-uaf-edited" 2,
    "priv" 2,
    "ring" 4,
    "stuck" 2,
    "tscloop" 2,
    "waits" 2,
];
