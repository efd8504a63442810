//! Stacks and their counts as flame-graph tools read them: folded.
//!
//! A line for each stack: its functions from the outermost to the innermost with semicolons between
//! them, a blank, and a count (`stackcollapse-*.pl` of Brendan Gregg's `FlameGraph`; flamegraph.pl, inferno
//! and speedscope read it). Offsets and lines are left out, so that what happens in one function is
//! one frame.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::aggregate::{Aggregate, Kind};
use crate::stack::function;
use crate::symbols::Symbols;

/// Folded stacks, of as many machines as one likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded(BTreeMap<Vec<u8>, u128>);

impl Folded {
    /// Adds what an aggregate with a stack as its key has counted; of one whose kind is `sum()`, the
    /// sums. Its other keys stand outside of the stack, `name` of the aggregate outside of these.
    pub(crate) fn add(
        &mut self,
        aggregate: &Aggregate,
        name: Option<&str>,
        symbols: Option<&Symbols>,
    ) {
        let is_sum = aggregate.shape().kind == Kind::Sum;
        aggregate.each(|parts, cell| {
            let mut line = Vec::new();
            if let Some(name) = name {
                push(&mut line, name.as_bytes());
            }
            for integer in &parts.integers {
                push(&mut line, format!("{integer:#x}").as_bytes());
            }
            for string in &parts.strings {
                push(&mut line, string);
            }
            let stack = parts.stack.as_deref().unwrap_or_default();
            for (index, address) in stack.iter().enumerate().rev() {
                match function(*address, index, symbols) {
                    Some((name, _)) => push(&mut line, name.as_bytes()),
                    None => push(&mut line, format!("{address:#x}").as_bytes()),
                }
            }
            let count = if is_sum { cell.sum } else { u128::from(cell.count) };
            if count > 0 {
                *self.0.entry(line).or_default() += count;
            }
        });
    }

    /// Whether there is no stack.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes a line for each stack, in the order of their names.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        for (stack, count) in &self.0 {
            to.write_all(stack)?;
            writeln!(to, " {count}")?;
        }
        to.flush()
    }
}

/// Adds a frame. What would end it or its line is replaced.
fn push(line: &mut Vec<u8>, frame: &[u8]) {
    if !line.is_empty() {
        line.push(b';');
    }
    let unknown: &[u8] = b"?";
    let frame = if frame.is_empty() { unknown } else { frame };
    line.extend(frame.iter().map(|byte| match byte {
        b';' => b':',
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
}

#[cfg(test)]
#[path = "folded_tests.rs"]
mod tests;
