//! What gdb asks of a replay.

use std::ops::Range;

/// What gdb asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Continue,
    /// A vCPU executes an instruction, or instructions until it leaves the range.
    Step(u32, Option<Range<u64>>),
    Back,
    StepBack(u32),
}

/// The kind of a breakpoint, by which gdb recognises its own. Both are the same to a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Software,
    Hardware,
}
