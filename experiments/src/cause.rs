//! Finds the cause of a finding: which accesses, in which order, make the guest fail, what each
//! vCPU then waits for, and the proof of it.
//!
//! 1. The finding's schedule is run again, and the schedule with the fewest switches that still
//!    fails in the same way is searched for (`minimise.rs`).
//! 2. Around each switch, two schedules are searched for that differ by the order of two adjacent
//!    accesses, and of which one fails and the other passes (`pairs.rs`).
//! 3. Each pair is tested (`proof.rs`): with the other order forced and everything else left to
//!    chance, 99 of 100 runs must pass; with all failing orders forced, 99 of 100 must fail; the
//!    order of two other accesses must change nothing. Forcing the other order of a race and
//!    checking whether the failure disappears is AITIA's definition of a cause (`EuroSys` 2023).
//! 4. The schedule is followed up to each of its steps, and the rest is left to chance: where the
//!    failure rate jumps, the failure became inevitable (`point_of_no_return.rs`; the idea is from
//!    Antithesis).
//!
//! The operations that are put in order are accesses to memory that vCPUs share, the taking of
//! interrupts, turning interrupts off, and NMIs, INITs and SIPIs (`operation.rs`).
//!
//! A fault of the finding is tied to what its vCPU does there (`faults.rs`), and tested by runs
//! without it.
//!
//! A pair that fails its test is not named. In addition, conflicting accesses that nothing orders
//! are listed, with whether their order matters (`races.rs`).

mod code;
mod counterfactual;
mod executor;
mod explain;
mod failure;
mod faults;
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
