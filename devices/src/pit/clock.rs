//! The PIT's input clock, in whole ticks.

/// The frequency in ticks per second.
pub const PIT_HZ: u32 = 1_193_182;

const SECOND: u128 = 1_000_000_000;

/// The number of ticks up to `now`.
pub(super) fn ticks(now: u64) -> u64 {
    // The result fits: there are fewer ticks than nanoseconds.
    (u128::from(now) * u128::from(PIT_HZ) / SECOND) as u64
}

/// The time of a tick: the first nanosecond at which [`ticks`] returns it. `None` beyond the end of
/// the clock.
pub(super) fn time(tick: u64) -> Option<u64> {
    (u128::from(tick) * SECOND).div_ceil(u128::from(PIT_HZ)).try_into().ok()
}
