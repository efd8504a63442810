//! Random draws that are the same on every host and in every version.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::spec::Range;

/// A stream of random numbers. ChaCha's output is fixed by its specification, so a seed keeps its
/// meaning; its streams are independent, so the draws of one vCPU don't depend on another's.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Stream `stream` of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A uniformly distributed number from `low` to `high`; `low` if `high` is below it.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        let bits: u64 = self.0.random();
        // The upper half of a product (Lemire, Fast Random Integer Generation in an Interval,
        // 2019); its bias is 2^-64 of the span.
        low + ((u128::from(bits) * span) >> 64) as u64
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        (self.unit() * f64::from(count)) as u32
    }

    /// A time from the range, with a uniformly distributed logarithm.
    pub fn time(&mut self, range: Range) -> Duration {
        let (low, high) = (range.low().as_secs_f64(), range.high().as_secs_f64());
        Duration::from_secs_f64(low * (high / low).powf(self.unit()))
    }

    /// A uniformly distributed number in [0, 1), from the upper 53 bits. Written out here because a
    /// library may change its method.
    fn unit(&mut self) -> f64 {
        let bits: u64 = self.0.random();
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
