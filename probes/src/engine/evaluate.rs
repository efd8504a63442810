//! Walks the trees of a [`Program`].

use vmm::hook::Context;

use super::{Cancel, Cause, State, Values};
use crate::ir::{Expression, Integer, Operator, Piece, Place, Str, StringSlot};
use crate::point::Point;
use crate::text::Text;
use crate::unwind;

/// One firing of one probe.
pub(super) struct Firing<'a, 'c> {
    pub(super) point: Point,
    pub(super) state: &'a mut State,
    pub(super) context: &'a mut Context<'c>,
    pub(super) values: &'a mut Values,
    /// Steps that are left.
    pub(super) steps: u64,
    /// Steps that there were.
    pub(super) budget: u64,
}

type Result<T> = std::result::Result<T, Cancel>;

impl Firing<'_, '_> {
    pub(super) fn statements(&mut self, statements: &[Expression]) -> Result<()> {
        for statement in statements {
            match statement {
                Expression::Integer(integer) => {
                    self.integer(integer)?;
                }
                Expression::Str(string) => {
                    self.string(string)?;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Cancel { cause: Cause::Steps(self.budget), place: None }),
        }
    }

    fn integer(&mut self, integer: &Integer) -> Result<u64> {
        self.step()?;
        Ok(match integer {
            Integer::Constant(value) => *value,
            Integer::Variable(slot) => self.state.integers.get(slot.0).copied().unwrap_or_default(),
            Integer::Builtin(variable, place) => self
                .values
                .variable(*variable, self.context)
                .map_err(|cause| Cancel { cause, place: Some(*place) })?,
            Integer::Fold(operator, operands, place) => self.fold(*operator, operands, *place)?,
            Integer::And(operands) => {
                for operand in operands {
                    if self.integer(operand)? == 0 {
                        return Ok(0);
                    }
                }
                1
            }
            Integer::Or(operands) => {
                for operand in operands {
                    if self.integer(operand)? != 0 {
                        return Ok(1);
                    }
                }
                0
            }
            Integer::Not(operand) => u64::from(self.integer(operand)? == 0),
            Integer::Complement(operand) => !self.integer(operand)?,
            Integer::Set(slot, value) => {
                let value = self.integer(value)?;
                if let Some(variable) = self.state.integers.get_mut(slot.0) {
                    *variable = value;
                }
                value
            }
            Integer::Choice(arms) => match self.choose(arms)? {
                Some(value) => self.integer(value)?,
                None => 0,
            },
            Integer::Sequence(before, last) => {
                self.statements(before)?;
                self.integer(last)?
            }
            Integer::Print(pieces) => u64::from(self.print(pieces)?),
            Integer::GuestStack(slot, place) => self.guest_stack(*slot, *place)?,
        })
    }

    fn string(&mut self, string: &Str) -> Result<Text> {
        self.step()?;
        Ok(match string {
            Str::Constant(text) => text.clone(),
            Str::Variable(slot) => self.state.strings.get(slot.0).cloned().unwrap_or_default(),
            Str::ProbeName => Text::from(self.point.name().as_bytes()),
            Str::Set(slot, value) => {
                let value = self.string(value)?;
                if let Some(variable) = self.state.strings.get_mut(slot.0) {
                    variable.clone_from(&value);
                }
                value
            }
            Str::Choice(arms) => match self.choose(arms)? {
                Some(value) => self.string(value)?,
                None => Text::default(),
            },
            Str::Sequence(before, last) => {
                self.statements(before)?;
                self.string(last)?
            }
        })
    }

    /// What stands behind the first condition that holds.
    fn choose<'a, T>(&mut self, arms: &'a [(Integer, T)]) -> Result<Option<&'a T>> {
        for (condition, value) in arms {
            if self.integer(condition)? != 0 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn fold(&mut self, operator: Operator, operands: &[Integer], place: Place) -> Result<u64> {
        let Some((first, rest)) = operands.split_first() else { return Ok(0) };
        let mut value = self.integer(first)?;
        for operand in rest {
            let operand = self.integer(operand)?;
            value = apply(operator, value, operand)
                .ok_or(Cancel { cause: Cause::DivisionByZero, place: Some(place) })?;
        }
        Ok(value)
    }

    /// Prints all of it, or nothing if an argument cancels the firing.
    fn print(&mut self, pieces: &[Piece]) -> Result<bool> {
        // An argument may print too; it finds an empty scratch, and this line stays whole.
        let mut line = std::mem::take(&mut self.state.scratch);
        line.clear();
        for piece in pieces {
            match piece {
                Piece::Literal(bytes) => line.extend_from_slice(bytes),
                Piece::Integer(conversion, value) => {
                    conversion.integer(self.integer(value)?, &mut line);
                }
                Piece::Str(conversion, value) => {
                    conversion.text(self.string(value)?.as_bytes(), &mut line);
                }
            }
        }
        let here = self.state.output.print(&line);
        self.state.scratch = line;
        Ok(here)
    }

    fn guest_stack(&mut self, slot: StringSlot, place: Place) -> Result<u64> {
        let cancel = |cause| Cancel { cause, place: Some(place) };
        let registers = *self.values.general(self.context).map_err(cancel)?;
        let system = *self.values.system(self.context).map_err(cancel)?;
        let frames = unwind::walk(&registers, &system, self.context.memory);
        if let Some(text) = self.state.strings.get_mut(slot.0) {
            unwind::guest_stack(&frames, text);
        }
        Ok(1)
    }
}

/// The operator on two integers; `None` for a division by zero.
fn apply(operator: Operator, a: u64, b: u64) -> Option<u64> {
    let shift = |shifted: Option<u64>| shifted.unwrap_or_default();
    // A distance beyond 32 bits is beyond 64 too.
    let distance = u32::try_from(b).unwrap_or(u32::MAX);
    Some(match operator {
        Operator::Add => a.wrapping_add(b),
        Operator::Subtract => a.wrapping_sub(b),
        Operator::Multiply => a.wrapping_mul(b),
        Operator::Divide => a.checked_div(b)?,
        Operator::Remainder => a.checked_rem(b)?,
        Operator::ShiftLeft => shift(a.checked_shl(distance)),
        Operator::ShiftRight => shift(a.checked_shr(distance)),
        Operator::Xor => a ^ b,
        Operator::BitOr => a | b,
        Operator::BitAnd => a & b,
        Operator::Less => u64::from(a < b),
        Operator::LessOrEqual => u64::from(a <= b),
        Operator::Greater => u64::from(a > b),
        Operator::GreaterOrEqual => u64::from(a >= b),
        Operator::Equal => u64::from(a == b),
        Operator::NotEqual => u64::from(a != b),
    })
}
