//! Searching for failures among interleavings, and running one again.
//!
//! * [`strategy`]: who decides what happens next;
//! * [`schedule`]: the decisions of a run, as a short text;
//! * [`mod@hunt`]: run after run until one fails;
//! * [`finding`]: a failure as a file;
//! * [`mod@replay`]: a finding run again, checked at every switch;
//! * [`mod@follow`]: a finding on another build of its guest;
//! * [`places`]: where vCPUs stood at the switches;
//! * [`cause`]: from a finding to what went wrong;
//! * [`observed`]: a failure in real time, and whether one under control is the same;
//! * [`mod@reproduce`]: the search for it;
//! * [`commands`]: what a user can type;
//! * [`waits`]: who waits for what, by name.

#![forbid(unsafe_code)]

pub mod cause;
pub mod commands;
pub mod finding;
pub mod follow;
pub mod hunt;
pub mod observed;
pub mod part;
pub mod replay;
pub mod reproduce;
pub mod schedule;
pub mod segment_end;
pub mod strategy;
pub mod waits;

pub use finding::Finding;
pub use follow::{Followed, follow};
pub use hunt::{Hunt, hunt};
pub use observed::ObservedFailure;
pub use replay::{Recorded, Replay, replay};
pub use schedule::Schedule;
pub use strategy::{Strategy, StrategyKind, StrategySpec};
