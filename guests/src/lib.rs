//! Small kernels with a known bug, and their fixed twins.
//!
//! Each is a complete ELF image, built from the C and assembly sources beside this crate and embedded in it: what it needs of a
//! hypervisor, and how to add one, is in this folder's README. This crate is data: it imports no other room.

#[cfg(test)]
mod tests;

/// A guest image and what one should know before running it.
#[derive(Debug)]
pub struct Guest {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The ELF image, page-aligned, so that it may be parsed where it lies.
    pub image: &'static [u8],
    /// How many vCPUs it is about. It runs with any number from 1 to [`MAX_CPUS`], told by `cpus=N` on its command line.
    pub default_cpus: u32,
    /// It runs for ever by design: not to end is no failure.
    pub endless: bool,
    /// The bug in it, if it was written for one.
    pub bug: Option<Bug>,
}

/// A concurrency bug that a guest is known to have.
#[derive(Debug)]
pub struct Bug {
    /// What goes wrong.
    pub what: &'static str,
    /// How many ordering constraints must hold for it to happen.
    pub depth: u32,
    /// How many preemptions the shortest failing schedule has.
    pub preemptions: u32,
    /// How the failure shows.
    pub oracle: Oracle,
    /// The guest without the bug, with the same layout otherwise.
    pub fixed_twin: &'static str,
}

/// How a failure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// No vCPU will ever do anything else again.
    Hang,
    /// The guest ends the run with a failure code.
    Report,
    /// A vCPU shuts down.
    TripleFault,
}

/// The most vCPUs that the guests' runtime has stacks for.
pub const MAX_CPUS: u32 = 64;

/// All guests.
pub fn catalogue() -> &'static [Guest] {
    CATALOGUE
}

/// The guest of that name.
pub fn find(name: &str) -> Option<&'static Guest> {
    CATALOGUE.iter().find(|guest| guest.name == name)
}

#[repr(C, align(4096))]
struct PageAligned<Bytes: ?Sized>(Bytes);

/// The image that `build.rs` linked under that name.
macro_rules! image {
    ($name:literal) => {{
        static IMAGE: &PageAligned<[u8]> =
            &PageAligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".elf")));
        &IMAGE.0
    }};
}

static CATALOGUE: &[Guest] = &[
    Guest {
        name: "hello",
        summary: "starts every vCPU, says how many came up and on what hypervisor, and ends",
        image: image!("hello"),
        default_cpus: 1,
        endless: false,
        bug: None,
    },
    Guest {
        name: "spin",
        summary: "every vCPU counts for ever at the bottom of a known chain of calls",
        image: image!("spin"),
        default_cpus: 2,
        endless: true,
        bug: None,
    },
    Guest {
        name: "tsc-sync",
        summary: "illumos #1687: a vCPU re-detects the platform while the boot CPU looks at the answer",
        image: image!("tsc-sync"),
        default_cpus: 6,
        endless: false,
        bug: Some(Bug {
            what: "CPU 0 reads a provisional platform_type and waits for a TSC handshake that the other CPU has already skipped",
            depth: 2,
            preemptions: 2,
            oracle: Oracle::Hang,
            fixed_twin: "tsc-sync-fixed",
        }),
    },
    Guest {
        name: "tsc-sync-fixed",
        summary: "tsc-sync with upstream's repair: the platform is determined once, before there are other CPUs",
        image: image!("tsc-sync-fixed"),
        default_cpus: 6,
        endless: false,
        bug: None,
    },
];
