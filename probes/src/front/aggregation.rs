//! Checks of aggregates that both languages share.

use std::collections::BTreeMap;

use crate::aggregate::{Kind, Linear};
use crate::diagnostic::Diagnostic;
use crate::ir::{AggregateSlot, Program};
use crate::source::Span;

/// The words around a value that determine what an aggregate keeps, as in `hist(value)`.
pub(crate) const WORDS: &[&str] = &["count", "sum", "avg", "min", "max", "stddev", "hist", "lhist"];

/// The kind that a word stands for, given the values of its arguments where these are numbers; or
/// an error message.
pub(crate) fn kind(word: &str, arguments: &[Option<u64>]) -> Result<Kind, String> {
    Ok(match (word, arguments) {
        ("count", []) => Kind::Count,
        ("sum", [_]) => Kind::Sum,
        ("avg", [_]) => Kind::Average,
        ("min", [_]) => Kind::Minimum,
        ("max", [_]) => Kind::Maximum,
        ("stddev", [_]) => Kind::Deviation,
        ("hist", [_]) => Kind::Histogram,
        ("lhist", [_, low, high, step]) => Kind::Linear(linear(*low, *high, *step)?),
        ("count", _) => return Err("count takes no argument here".into()),
        ("lhist", _) => return Err("lhist takes a value, two ends and a step".into()),
        _ => return Err(format!("{word} takes one value here")),
    })
}

fn linear(low: Option<u64>, high: Option<u64>, step: Option<u64>) -> Result<Linear, String> {
    let (Some(low), Some(high), Some(step)) = (low, high, step) else {
        return Err("the intervals of a histogram must be numbers".into());
    };
    if low >> 63 == 1 && high >> 63 == 0 {
        return Err("a histogram's intervals can't begin below 0: integers are unsigned".into());
    }
    if high <= low || step == 0 {
        return Err("this histogram has no interval".into());
    }
    let linear = Linear { low, high, step };
    let (intervals, most) = (linear.intervals(), Linear::MAX_INTERVALS);
    if intervals > most {
        return Err(format!("this histogram has {intervals} intervals; {most} is the most"));
    }
    Ok(linear)
}

/// How each aggregate is used, as determined by its first use.
#[derive(Debug, Default)]
pub(crate) struct Usages(BTreeMap<usize, Usage>);

#[derive(Debug)]
struct Usage {
    kind: Kind,
    stack: Option<usize>,
    span: Span,
}

impl Usages {
    /// Whether a use of the aggregate has the guest's stack as a key.
    pub(crate) fn has_stack(&self, slot: AggregateSlot) -> bool {
        self.0.get(&slot.0).is_some_and(|usage| usage.stack.is_some())
    }

    /// Records a use. The first use determines the aggregate's shape, and all other uses must
    /// agree.
    pub(crate) fn agree(
        &mut self,
        program: &mut Program,
        slot: AggregateSlot,
        kind: Kind,
        stack: Option<usize>,
        span: Span,
    ) -> Result<(), Box<Diagnostic>> {
        if let Some(first) = self.0.get(&slot.0) {
            if (first.kind, first.stack) == (kind, stack) {
                return Ok(());
            }
            let label = "expected the same function and the same stack key everywhere";
            let error = Diagnostic::error(span, "this aggregate is used in two ways", label);
            return Err(Box::new(error.with_related(first.span, "used otherwise here")));
        }
        self.0.insert(slot.0, Usage { kind, stack, span });
        if let Some(shape) = program.aggregates.get_mut(slot.0) {
            (shape.kind, shape.stack) = (kind, stack);
            // The stack replaces one of the declared string keys.
            shape.strings = shape.strings.saturating_sub(usize::from(stack.is_some()));
        }
        Ok(())
    }
}
