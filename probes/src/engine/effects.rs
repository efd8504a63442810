//! Instructions that print, and instructions on aggregates and bags.

use super::machine::{Firing, Result};
use crate::aggregate::{Aggregate, lock};
use crate::code::FormatPiece;
use crate::ir::Reading;
use crate::text::Text;

impl Firing<'_, '_> {
    /// Formats a printf in the scratch buffer.
    pub(super) fn format(&mut self, format: u32) -> Result<()> {
        let code = self.code;
        let Some(format) = code.formats.get(format as usize) else { return Ok(()) };
        self.charge(4 * format.pieces.len() as u64)?;
        let state = &mut *self.state;
        let first = state.stack.len().saturating_sub(format.integers as usize);
        let first_text = state.text_top.saturating_sub(format.texts as usize);
        let mut integers = state.stack.iter().skip(first);
        let mut texts = state.texts.iter().skip(first_text);
        let line = &mut state.scratch;
        line.clear();
        for piece in &format.pieces {
            match piece {
                FormatPiece::Literal(bytes) => line.extend_from_slice(bytes),
                FormatPiece::Integer(conversion) => {
                    conversion.integer(integers.next().copied().unwrap_or_default(), line);
                }
                FormatPiece::Text(conversion) => {
                    conversion.text(texts.next().map(Text::as_bytes).unwrap_or_default(), line);
                }
            }
        }
        state.stack.truncate(first);
        state.text_top = first_text;
        Ok(())
    }

    pub(super) fn print(&mut self, format: u32) -> Result<()> {
        self.format(format)?;
        let line = std::mem::take(&mut self.state.scratch);
        let here = self.state.output.print(&line);
        self.state.scratch = line;
        self.push(u64::from(here));
        Ok(())
    }

    /// Moves the keys of an aggregate from the stacks to `state.key`.
    fn take_key(&mut self, index: usize) -> Result<()> {
        let shared = self.shared;
        let Some(shape) = shared.aggregates.get(index).map(Aggregate::shape) else {
            return Ok(());
        };
        let state = &mut *self.state;
        let first = state.stack.len().saturating_sub(shape.integers);
        let first_text = state.text_top.saturating_sub(shape.strings);
        state.key.clear();
        for integer in state.stack.drain(first..) {
            state.key.integer(integer);
        }
        for text in state.texts.iter().take(state.text_top).skip(first_text) {
            state.key.string(text.as_bytes());
        }
        state.text_top = first_text;
        if let Some(frames) = shape.stack {
            let stack = self.frames()?;
            let stack = stack.get(..frames).unwrap_or(&stack);
            self.state.key.stack(stack);
        }
        Ok(())
    }

    pub(super) fn aggregate(&mut self, index: u32) -> Result<()> {
        self.charge(8)?;
        let value = self.pop();
        self.take_key(index as usize)?;
        let stamp = self.context.now.as_nanos() as u64;
        let state = &mut *self.state;
        let added = state
            .parts
            .get(index as usize)
            .is_some_and(|part| lock(part).add(state.key.bytes(), value, stamp));
        self.push(added.into());
        Ok(())
    }

    pub(super) fn aggregate_read(&mut self, index: u32, reading: Reading) -> Result<()> {
        self.charge(16)?;
        self.take_key(index as usize)?;
        let shared = self.shared;
        let aggregate = shared.aggregates.get(index as usize);
        let cell = aggregate.and_then(|aggregate| aggregate.cell(self.state.key.bytes()));
        self.push(cell.map_or(0, |cell| cell.reading(reading)));
        Ok(())
    }

    pub(super) fn log_aggregate(&mut self, index: u32) -> Result<()> {
        self.charge(100)?;
        let shared = self.shared;
        let lines = shared.aggregates.get(index as usize).map(Aggregate::lines);
        let lines = lines.unwrap_or_default();
        // An aggregate of any length can be printed once in a firing, at the cost of at most half
        // the budget.
        let cost = (lines.len() as u64).min(self.shared.settings.budget.steps / 2);
        let here = self.state.output.block(lines);
        self.charge(cost)?;
        self.push(here.into());
        Ok(())
    }

    pub(super) fn clear_aggregate(&mut self, index: u32) -> Result<()> {
        self.charge(100)?;
        if let Some(aggregate) = self.shared.aggregates.get(index as usize) {
            aggregate.clear();
        }
        self.push(1);
        Ok(())
    }

    pub(super) fn bag_insert(&mut self, index: u32) -> Result<()> {
        self.charge(8)?;
        let value = self.pop();
        let key = self.pop();
        let bag = self.shared.bags.get(index as usize);
        let inserted = bag.is_some_and(|bag| lock(bag).insert(key, value));
        self.push(inserted.into());
        Ok(())
    }

    pub(super) fn bag_remove(&mut self, index: u32) -> Result<()> {
        self.charge(8)?;
        let key = self.pop();
        let bag = self.shared.bags.get(index as usize);
        let value = bag.and_then(|bag| lock(bag).remove(key));
        self.push(value.unwrap_or_default());
        Ok(())
    }
}
