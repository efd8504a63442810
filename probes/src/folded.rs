//! Folded stacks: stacks with counts in the format of flame-graph tools.
//!
//! Each stack is a line: the names of its functions, from the outermost to the innermost, separated
//! by semicolons; then a blank and a count (the output of `stackcollapse-*.pl` in Brendan Gregg's
//! `FlameGraph`, which flamegraph.pl, inferno and speedscope read). Offsets and line numbers are
//! left out, so that each function is one frame.

use std::collections::BTreeMap;
use std::io::{self, Write};

use inspect::{Inspector, Stack};

use crate::aggregate::{Aggregate, Kind};

/// Folded stacks, of any number of machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded(BTreeMap<Vec<u8>, u128>);

impl Folded {
    /// Adds the counts of an aggregate that has a stack as a key, or its sums if its kind is
    /// `sum()`. Other keys are put before the outermost frame, and `name`, if given, before these.
    pub(crate) fn add(
        &mut self,
        aggregate: &Aggregate,
        name: Option<&str>,
        inspector: Option<&Inspector>,
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
            let named = inspector
                .map_or_else(|| Stack::new(stack, None), |inspector| inspector.stack(stack));
            for frame in named.frames.iter().rev() {
                match (&frame.function, &frame.module) {
                    (Some(name), Some(module)) => {
                        push(&mut line, format!("{name} [{module}]").as_bytes());
                    }
                    (Some(name), None) => push(&mut line, name.as_bytes()),
                    (None, _) => push(&mut line, format!("{:#x}", frame.address).as_bytes()),
                }
            }
            let count = if is_sum { cell.sum } else { u128::from(cell.count) };
            if count > 0 {
                *self.0.entry(line).or_default() += count;
            }
        });
    }

    /// Whether there are no stacks.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes a line for each stack, sorted by the frames' names.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        for (stack, count) in &self.0 {
            to.write_all(stack)?;
            writeln!(to, " {count}")?;
        }
        to.flush()
    }
}

/// Adds a frame. Characters that would end the frame or the line are replaced.
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
