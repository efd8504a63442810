//! The doctor: tests every KVM mechanism that jitterbug could use, each with a tiny guest of its
//! own, and reports which of them work on this host, what they cost, and what is used instead of
//! the others.
//!
//! It is not enough that KVM reports a capability: a mechanism that is accepted and then has no
//! effect is the worst failure of all, so each mechanism has to show an effect.
//!
//! * `catalogue`: the list of self-tests;
//! * `test_guest` makes a `bench`: a machine that runs a few instructions, with a deadline;
//!   `layout`: its RAM;
//! * one file for each subject: `speed`, `exits`, `holes`, `stepping`, `breakpoints`,
//!   `interrupts`, `startup`, `instructions`, `identity`, `clock`, `registers`,
//!   `kicks`, `slots`, `lifecycle`;
//! * `outcome`, `report`, `choices`: the results;
//! * `debug_capabilities`: the few self-tests on which breakpoints and watchpoints depend.

mod bench;
mod breakpoints;
mod catalogue;
mod choices;
mod clock;
mod debug_capabilities;
mod exits;
mod holes;
mod identity;
mod instructions;
mod int3;
mod interrupts;
mod kicks;
mod layout;
mod lifecycle;
mod linux;
mod outcome;
mod platform;
mod registers;
mod report;
mod slots;
mod speed;
mod startup;
mod stepping;
mod test_guest;

use std::time::{Duration, Instant};

pub use crate::kvm::DebugCapabilities;
pub(crate) use debug_capabilities::has_watchpoints;
pub(crate) use linux::{Hidden, hidden_from_linux};
pub use outcome::{Cost, Verdict};
pub use platform::Platform;
pub use report::{Choice, Finding, Report};

use crate::error::{Error, Result};
use crate::kvm::Host;
use crate::kvm::StepCapabilities;
use outcome::Outcome;
use test_guest::TestGuest;

/// Runs all self-tests. A failing self-test doesn't stop the others: its row reports the failure.
/// After this time, the remaining self-tests are skipped.
pub fn examine(host: &Host, time_limit: Duration) -> Report {
    let start = Instant::now();
    let test_guest = TestGuest::new(host);
    let mut rows = Vec::new();
    for group in catalogue::GROUPS {
        for test in group.tests {
            let outcome = match &test_guest {
                Ok(_) if start.elapsed() > time_limit => {
                    Outcome::untested("no time left: give more by --timeout")
                }
                Ok(test_guest) => (test.run)(test_guest).unwrap_or_else(Outcome::from),
                Err(error) => Outcome::untested(error.to_string()),
            };
            rows.push(finding(group.name, test.id, test.name, test.instead, outcome));
        }
    }
    let linux = choices::unmodified_linux(&rows);
    rows.push(finding(
        "Guests",
        "linux",
        "unmodified Linux",
        "jitterbug's own small guests",
        linux,
    ));
    let choices = choices::choose(&rows);
    Report { platform: Platform::read(), rows, choices, elapsed: start.elapsed() }
}

/// Runs only the self-tests with these ids, in this order; unknown ids are ignored.
pub fn try_out(host: &Host, ids: &[&str]) -> Vec<Finding> {
    let test_guest = TestGuest::new(host);
    let groups =
        || catalogue::GROUPS.iter().flat_map(|group| group.tests.iter().map(move |t| (group, t)));
    let tests = ids.iter().filter_map(|id| groups().find(|(_, test)| test.id == *id));
    let run = |(group, test): (&catalogue::Group, &catalogue::SelfTest)| {
        let outcome = match &test_guest {
            Ok(test_guest) => (test.run)(test_guest).unwrap_or_else(Outcome::from),
            Err(error) => Outcome::untested(error.to_string()),
        };
        finding(group.name, test.id, test.name, test.instead, outcome)
    };
    tests.map(run).collect()
}

/// Where single steps stop on this host. Fails if they don't even work from one instruction to the
/// next.
pub(crate) fn stepping(host: &Host) -> Result<StepCapabilities> {
    let found = DebugCapabilities::of(host);
    if !found.steps {
        return Err(Error::Capability {
            capability: "single step (KVM_GUESTDBG_SINGLESTEP) that works",
            purpose: "make each instruction a scheduling point (--granularity instruction)",
        });
    }
    Ok(StepCapabilities {
        user: found.steps_user,
        handlers: found.steps_into_handlers,
        block_interrupts: found.block_interrupts,
    })
}

fn finding(
    group: &'static str,
    id: &'static str,
    name: &'static str,
    otherwise: &'static str,
    Outcome { verdict, cost, detail, instead }: Outcome,
) -> Finding {
    let instead = (verdict != Verdict::Works).then_some(instead.unwrap_or(otherwise));
    Finding { group, id, name, verdict, cost, detail, instead }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
