//! The PIT's input clock, in whole ticks.

/// Ticks a second.
pub const PIT_HZ: u32 = 1_193_182;

const SECOND: u128 = 1_000_000_000;

/// How many ticks there were up to `now`.
pub(super) fn ticks(now: u64) -> u64 {
    // Fits: there are fewer ticks than nanoseconds.
    (u128::from(now) * u128::from(PIT_HZ) / SECOND) as u64
}

/// When a tick comes: the first nanosecond at which [`ticks`] says it. `None` behind the end of
/// the clock.
pub(super) fn time(tick: u64) -> Option<u64> {
    (u128::from(tick) * SECOND).div_ceil(u128::from(PIT_HZ)).try_into().ok()
}
