//! Tries many inputs, each from a seed: for the tests of robustness of this crate and of `probes`.

use std::fs;
use std::time::{Duration, Instant};

/// The longest time for one input, on a machine that is busy with other tasks.
pub(crate) const SLOWEST: Duration = Duration::from_secs(20);
/// The most memory of the process over all inputs, in bytes.
pub(crate) const MAX_MEMORY: u64 = 1 << 30;

/// `SplitMix64`, so that the same seed reproduces a failure.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ b >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The number of inputs to try.
pub(crate) fn inputs(ordinary: u64) -> u64 {
    match std::env::var("JITTERBUG_INPUTS") {
        Ok(count) => count.parse().expect("JITTERBUG_INPUTS is a number"),
        Err(_) => ordinary,
    }
}

/// The peak memory of the process in bytes.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kilobytes << 10
}

/// Tries inputs. Fails if one takes too long, if the process needs too much memory, or if too few
/// inputs are accepted.
pub(crate) fn try_all(ordinary: u64, mut one: impl FnMut(&mut Random) -> bool) {
    let count = inputs(ordinary);
    let mut useful = 0;
    for seed in 0..count {
        let start = Instant::now();
        useful += u64::from(one(&mut Random(seed)));
        assert!(start.elapsed() < SLOWEST, "seed {seed} took {:?}", start.elapsed());
    }
    let peak = peak_memory();
    println!("{count} inputs, {useful} accepted, {} MiB", peak >> 20);
    assert!(peak < MAX_MEMORY, "{} MiB", peak >> 20);
    // If a generator's scripts are nearly all refused early, they test little.
    assert!(useful > count / 20, "only {useful} of {count} were accepted");
}
