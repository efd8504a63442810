//! The processor time that a thread has had.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What the calling thread has had. (The clock is there since Linux 2.6.)
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
