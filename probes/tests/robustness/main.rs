//! Checks that no input causes a panic, a hang or unbounded use of memory in both front ends, in
//! the engine with whatever they accept, and in the readers of symbols.
//!
//! Inputs are valid scripts that are cut up and recombined with words of the languages, from a
//! fixed seed, so that a failure can be reproduced. `JITTERBUG_INPUTS=1000000` tries more inputs
//! than the few thousand of an ordinary run. Tests that are guided by coverage are in `fuzz/`.

mod ask;
mod fire;
mod generate;
mod scripts;
mod symbols;

use std::fs;
use std::time::{Duration, Instant};

/// The longest time for one input, on a machine that is busy with other tasks.
const SLOWEST: Duration = Duration::from_secs(20);
/// The most memory of the process over all inputs, in bytes.
const MAX_MEMORY: u64 = 1 << 30;

/// `SplitMix64`, so that the same seed reproduces a failure.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ b >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// The number of inputs to try.
fn inputs(ordinary: u64) -> u64 {
    match std::env::var("JITTERBUG_INPUTS") {
        Ok(count) => count.parse().expect("JITTERBUG_INPUTS is a number"),
        Err(_) => ordinary,
    }
}

/// The peak memory of the process in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kilobytes << 10
}

/// Tries inputs. Fails if one takes too long, if the process needs too much memory, or if too few
/// inputs are accepted.
fn try_all(ordinary: u64, mut one: impl FnMut(&mut Random) -> bool) {
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
