//! From a finding to its cause: which accesses, in which order, why everybody then waits, and the
//! proof that this is it.
//!
//! 1. The finding's schedule is run again, and the fewest switches are searched that still fail in
//!    the same way (`minimise.rs`).
//! 2. Around each switch, two schedules are searched that differ by the order of two adjacent
//!    accesses, and of which one fails and the other passes (`pairs.rs`).
//! 3. Each pair is put to the test: with the other order forced and everything else left to chance, 99
//!    of 100 runs must pass; with all the failing orders forced, 99 of 100 must fail; the order of two
//!    other accesses must change nothing (`counterfactual.rs`). Forcing the other order of a race and
//!    looking whether the failure disappears is AITIA's definition of a cause (`EuroSys` 2023).
//! 4. The schedule is followed up to each of its steps, and left to chance from there: where the share
//!    of failures jumps, the failure became inevitable (`curve.rs`; the idea is Antithesis').
//!
//! What is put in order are accesses to what vCPUs share, interrupts that are taken, interrupts being
//! turned off, and NMIs, INITs and SIPIs (`operation.rs`).
//!
//! A pair that fails its test is not named. Besides, accesses that nothing orders are listed, and
//! whether their order matters (`races.rs`).

mod code;
mod counterfactual;
mod executor;
mod explain;
mod failure;
mod force;
mod minimise;
mod naming;
mod operation;
mod pairs;
mod point_of_no_return;
mod proof;
mod races;
pub mod report;
mod schedule_state;
mod shorten;
mod switches;
#[cfg(test)]
pub(crate) mod testing;
pub mod trace;
mod worker_pool;

pub use counterfactual::FailureRate;
pub use explain::{Apart, Cause, CauseError, Question, can_explain, explain};
pub use failure::Failure;
pub use minimise::Limits;
pub use naming::{Named, NamedStep};
pub use operation::Operation;
pub use point_of_no_return::Sample;
pub use proof::{Claim, Condition, Proof, Scope};
pub use races::{Matters, Race};
pub use report::Report;
pub use schedule_state::{EnabledTransition, ProgramPoint};
pub use switches::Switch;
