//! What stops a vCPU at an instruction here: found out by the self-tests that concern it, and by
//! them alone, when somebody wants to know.

use super::catalogue;
use super::outcome::{Outcome, Verdict};
use super::test_guest::TestGuest;
use crate::kvm::{DebugCapabilities, Host};

impl DebugCapabilities {
    /// Finds it out; the answer is kept for as long as the device is open. Takes some ten
    /// milliseconds the first time. Log level `info` says what came of it.
    pub fn of(host: &Host) -> Self {
        host.stopping(|| {
            let stopping = Self::examine(host);
            tracing::info!(%stopping, "stopping at instructions");
            stopping
        })
    }

    fn examine(host: &Host) -> Self {
        let Ok(test_guest) = TestGuest::new(host) else { return Self::default() };
        let tests = || catalogue::GROUPS.iter().flat_map(|group| group.tests);
        let verdict = |id: &str| {
            let test = tests().find(|test| test.id == id)?;
            Some((test.run)(&test_guest).unwrap_or_else(Outcome::from).verdict)
        };
        let works = |id: &str| verdict(id) == Some(Verdict::Works);
        // A breakpoint that hits again is taken out to step over it.
        let breakpoints = matches!(verdict("breakpoint"), Some(Verdict::Works | Verdict::Partly));
        Self {
            breakpoints,
            breakpoints_user: works("breakpoint-user"),
            steps: works("single-step"),
            steps_user: works("step-user"),
            steps_into_handlers: works("step-handler"),
            steps_from_handlers: works("step-return"),
            block_interrupts: works("block-irq"),
        }
    }
}
