//! Instructions on strings.

use std::cmp::Ordering;

use super::machine::{Firing, Result};
use crate::code::Op;
use crate::text::Text;

/// The first reference to a string on the stack; smaller references are the indexes of variables.
const ON_STACK: u64 = 1 << 32;

impl Firing<'_, '_> {
    /// Pushes a string that still holds the bytes of its last use. A routine declares how many
    /// strings it needs, so there is always space.
    pub(super) fn push_text(&mut self) -> &mut Text {
        let state = &mut *self.state;
        let top = state.text_top;
        if top >= state.texts.len() {
            state.texts.resize_with(top + 1, Text::default);
        }
        state.text_top = top + 1;
        &mut state.texts[top]
    }

    pub(super) fn drop_text(&mut self) {
        self.state.text_top = self.state.text_top.saturating_sub(1);
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.push_text().set(bytes);
    }

    /// The string that a reference stands for.
    fn referred(&mut self, reference: u64) -> Option<&mut Text> {
        match reference.checked_sub(ON_STACK) {
            Some(index) => self.state.texts.get_mut(index as usize),
            None => self.state.strings.get_mut(reference as usize),
        }
    }

    /// Runs the instructions that only concern strings.
    pub(super) fn string_op(&mut self, op: Op) -> Result<()> {
        self.charge(1)?;
        match op {
            Op::Text(index) => {
                let code = self.code;
                if let Some(text) = code.texts.get(index as usize) {
                    self.push_text().set(text);
                }
            }
            Op::GetText(slot) => {
                let text = std::mem::take(self.push_text());
                let mut text = text;
                if let Some(variable) = self.state.strings.get(slot as usize) {
                    text.assign(variable);
                }
                self.replace_top(text);
            }
            Op::GetLocalText(local) => {
                let text = self.state.texts.get(self.text_base + local as usize).cloned();
                self.push_bytes(text.unwrap_or_default().as_bytes());
            }
            Op::GetParameter(local) => {
                let reference = self.local(local);
                let text = self.referred(reference).cloned();
                self.push_bytes(text.unwrap_or_default().as_bytes());
            }
            Op::SetText(slot) => {
                let top = self.state.text_top.wrapping_sub(1);
                let state = &mut *self.state;
                if let (Some(text), Some(variable)) =
                    (state.texts.get(top), state.strings.get_mut(slot as usize))
                {
                    variable.assign(text);
                }
            }
            Op::SetLocalText(local) => {
                self.assign(ON_STACK + self.text_base as u64 + u64::from(local));
            }
            Op::SetParameter(local) => {
                let reference = self.local(local);
                self.assign(reference);
            }
            Op::DropText => self.drop_text(),
            Op::ReferVariable(slot) => self.push(slot.into()),
            Op::ReferLocal(local) => {
                self.push(ON_STACK + self.text_base as u64 + u64::from(local));
            }
            Op::ReferTop => self.push(ON_STACK + self.state.text_top.saturating_sub(1) as u64),
            Op::Append => {
                let top = self.state.text_top.saturating_sub(1);
                if let Some((below, rest)) = self.state.texts.split_at_mut_checked(top)
                    && let (Some(below), Some(text)) = (below.last_mut(), rest.first())
                {
                    below.push(text.as_bytes());
                }
                self.drop_text();
            }
            Op::EmptyText => self.push_text().clear(),
            Op::ProbeName => {
                let probe = self.probe;
                self.push_bytes(probe.name.as_bytes());
            }
            Op::ExitName => {
                let event = self.event;
                self.push_bytes(event.exit.as_bytes());
            }
            Op::FaultName => {
                let name = self.state.fault.as_ref().map_or("", |fault| fault.name());
                self.push_bytes(name.as_bytes());
            }
            Op::FaultDescription => {
                let text = self.state.fault.as_ref().map(ToString::to_string);
                self.push_bytes(text.unwrap_or_default().as_bytes());
            }
            Op::Compare => self.compare(),
            Op::SymbolName => self.symbol_name()?,
            Op::TaskName => self.task_name()?,
            Op::Format(format) => {
                self.format(format)?;
                let line = std::mem::take(&mut self.state.scratch);
                self.push_bytes(&line);
                self.state.scratch = line;
            }
            // `Firing::go` runs all other instructions.
            _ => {}
        }
        Ok(())
    }

    fn replace_top(&mut self, text: Text) {
        let top = self.state.text_top.wrapping_sub(1);
        if let Some(slot) = self.state.texts.get_mut(top) {
            *slot = text;
        }
    }

    /// Copies the top string to a target; the top string stays where it is.
    fn assign(&mut self, reference: u64) {
        let top = self.state.text_top.wrapping_sub(1);
        let Some(text) = self.state.texts.get(top).cloned() else { return };
        if let Some(target) = self.referred(reference) {
            target.assign(&text);
        }
    }

    /// `strcmp`: pushes a number below, equal to or above 0.
    fn compare(&mut self) {
        let top = self.state.text_top;
        let text =
            |index: usize| self.state.texts.get(index).map(Text::as_bytes).unwrap_or_default();
        let order = text(top.wrapping_sub(2)).cmp(text(top.wrapping_sub(1)));
        self.drop_text();
        self.drop_text();
        self.push(match order {
            Ordering::Less => u64::MAX,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        });
    }

    fn symbol_name(&mut self) -> Result<()> {
        let address = self.pop();
        self.charge(20)?;
        let inspector = self.shared.inspector();
        if self.probe.point.is_in_vcpu() {
            let system = self.values.system(self.context)?;
            let frame = inspector.frame(address, 0, system, self.context.memory);
            if frame.module.is_some() {
                self.push_bytes(frame.to_string().as_bytes());
                return Ok(());
            }
        }
        let symbols = inspector.symbols();
        let known = symbols
            .as_deref()
            .and_then(|symbols| symbols.function(address).or_else(|| symbols.data(address)));
        let name = match known {
            Some((name, 0)) => name.to_owned(),
            Some((name, offset)) => format!("{name}+{offset:#x}"),
            None => format!("{address:#x}"),
        };
        self.push_bytes(name.as_bytes());
        Ok(())
    }
}
