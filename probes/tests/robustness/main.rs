//! No input panics, hangs or takes unbounded memory: both front ends, the engine on whatever they
//! accept, and the readers of symbols.
//!
//! Inputs are scripts that work, cut up and put together again with words of the languages, from a
//! fixed seed, so that a failure is there again the next time. `JITTERBUG_INPUTS=1000000` tries more
//! than the few thousand of an ordinary run. What coverage guides is in `fuzz/`.

mod ask;
mod fire;
mod generate;
mod scripts;
mod symbols;

use std::fs;
use std::time::{Duration, Instant};

/// No input may take longer, on a machine that is busy with other things.
const SLOWEST: Duration = Duration::from_secs(20);
/// Nor may all of them together make the process grow beyond this.
const MAX_MEMORY: u64 = 1 << 30;

/// `SplitMix64`; a failure must come back with the same seed.
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

/// How many inputs to try.
fn inputs(ordinary: u64) -> u64 {
    match std::env::var("JITTERBUG_INPUTS") {
        Ok(count) => count.parse().expect("JITTERBUG_INPUTS is a number"),
        Err(_) => ordinary,
    }
}

/// What the process has needed at most.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kilobytes << 10
}

/// Tries inputs, and says how many of them were of use.
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
    // A generator whose scripts are all refused at once tests little.
    assert!(useful > count / 20, "only {useful} of {count} were accepted");
}
