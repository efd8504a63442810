//! What a script declares.

use super::tree::Node;
use crate::ir::{AggregateSlot, BagSlot, FunctionSlot, IntegerSlot, StringSlot};
use crate::source::Span;

/// What a name of the script stands for.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Integer(IntegerSlot),
    Str(StringSlot),
    Aggregate(AggregateSlot),
    Bag(BagSlot),
    Function(FunctionSlot),
}

impl Slot {
    /// What the name stands for, in words for messages.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Str(_) => "a string",
            Self::Aggregate(_) => "an aggregate",
            Self::Bag(_) => "a bag",
            Self::Function(_) => "a function",
        }
    }
}

pub(super) struct Variable {
    pub(super) slot: Slot,
    pub(super) span: Span,
}

/// A `defun` form. Its body is checked once every definition is known.
pub(super) struct FunctionForm<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: Vec<(&'a str, Span)>,
    pub(super) body: &'a [Node],
}
