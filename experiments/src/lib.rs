//! Searches the interleavings of a guest for failures, and reproduces and explains what it finds.
//!
//! * [`strategy`]: chooses which enabled transition comes next;
//! * [`schedule`]: the decisions of a run, as a short text;
//! * [`mod@hunt`]: makes run after run until one fails;
//! * [`fault_effect`]: what a fault did in a run that failed;
//! * [`campaign`]: the runs of an experiment, recorded in a store, resumed, merged, reported;
//! * [`experiment`]: experiment files: machines, factors, runs, budgets;
//! * [`finding`]: a failure as a file;
//! * [`mod@replay`]: replays a finding and compares the run at every switch;
//! * [`mod@follow`]: follows a finding on another build of its guest;
//! * [`segment_end`]: where each vCPU was when the schedule switched away from it;
//! * [`collider`]: finds data races of a guest that runs in real time;
//! * [`cause`]: finds the cause of a finding and proves it;
//! * [`observed`]: a failure in real time, and whether a failure under control is the same;
//! * [`mod@reproduce`]: searches under control for a failure that was observed in real time;
//! * [`commands`]: command lines for the user to type;
//! * [`part`]: writes a file whole or not at all;
//! * [`timeline`]: a replay that can be moved forwards and backwards;
//! * [`waits`]: names what each vCPU waits for.

#![forbid(unsafe_code)]

pub mod campaign;
pub mod cause;
pub mod collider;
pub mod commands;
pub mod experiment;
pub mod fault_effect;
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
pub mod timeline;
pub mod waits;

pub use finding::Finding;
pub use follow::{Followed, follow};
pub use hunt::{Hunt, hunt};
pub use observed::ObservedFailure;
pub use replay::{Recorded, Replay, replay};
pub use schedule::Schedule;
pub use strategy::{Strategy, StrategyKind, StrategySpec};
