//! Determines how a vCPU can be stopped at an instruction on a host, and whether data watchpoints
//! work, by only those self-tests that concern this, and only when it is needed.

use super::catalogue;
use super::outcome::{Outcome, Verdict};
use super::test_guest::TestGuest;
use crate::kvm::{DebugCapabilities, Host};

/// Whether data watchpoints work on this host, in the kernel and in user programs. Determined once;
/// the first call takes some milliseconds.
pub(crate) fn has_watchpoints(host: &Host) -> bool {
    let works = |test_guest: &TestGuest, id: &str| verdict(test_guest, id) == Some(Verdict::Works);
    host.watchpoints(|| {
        let test_guest = TestGuest::new(host);
        test_guest.is_ok_and(|it| catalogue::WATCHPOINTS.iter().all(|id| works(&it, id)))
    })
}

/// The verdict of one self-test.
pub(super) fn verdict(test_guest: &TestGuest, id: &str) -> Option<Verdict> {
    let mut tests = catalogue::GROUPS.iter().flat_map(|group| group.tests);
    let test = tests.find(|test| test.id == id)?;
    Some((test.run)(test_guest).unwrap_or_else(Outcome::from).verdict)
}

impl DebugCapabilities {
    /// Determines the capabilities once; the result is stored while the device is open. The first
    /// call takes some ten milliseconds, and logs the result at level `info`.
    pub fn of(host: &Host) -> Self {
        host.stopping(|| {
            let stopping = Self::examine(host);
            tracing::info!(%stopping, "stopping at instructions");
            stopping
        })
    }

    /// The self-tests that have to work before INT3s are used. Without the first, the others need
    /// not be tried.
    pub const INT3: [&str; 6] =
        ["int3", "int3-step", "int3-guest", "single-step", "block-irq", "read-only-slot"];

    fn examine(host: &Host) -> Self {
        let Ok(test_guest) = TestGuest::new(host) else { return Self::default() };
        let verdict = |id: &str| verdict(&test_guest, id);
        let works = |id: &str| verdict(id) == Some(Verdict::Works);
        // A breakpoint that hits again is removed to step over it.
        let breakpoint = verdict("breakpoint");
        Self {
            breakpoints: matches!(breakpoint, Some(Verdict::Works | Verdict::Partly)),
            resume_flag: breakpoint == Some(Verdict::Works),
            breakpoints_user: works("breakpoint-user"),
            steps: works("single-step"),
            steps_user: works("step-user"),
            steps_into_handlers: works("step-handler"),
            steps_from_handlers: works("step-return"),
            block_interrupts: works("block-irq"),
            int3: Self::INT3.iter().all(|id| works(id)),
        }
    }
}
