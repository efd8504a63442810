//! Evaluates expressions whose value is known when the script is loaded.

use super::super::tree::{Binary, Expression, Kind, Unary};
use super::{Checker, Entity};

impl Checker<'_> {
    /// The value of a constant expression; reports an error if it isn't constant.
    pub(super) fn constant(&mut self, expression: &Expression) -> Option<u64> {
        if let Some(value) = self.constant_value(expression) {
            return Some(value);
        }
        let label = "expected a number, a constant, or what can be calculated from these";
        self.wrong(expression.span, "this is not known when the script is loaded", label)
    }

    /// The value of an expression, if it is constant.
    pub(super) fn constant_value(&mut self, expression: &Expression) -> Option<u64> {
        match &expression.kind {
            Kind::Number(value) => Some(*value),
            Kind::Name(name) if self.local(name).is_none() => match self.entity(name) {
                Some(Entity::Constant(value)) => Some(value),
                Some(_) => None,
                None => match crate::variable::find(name) {
                    Some(crate::variable::Builtin::Constant(value)) => Some(value),
                    _ => None,
                },
            },
            Kind::Unary(operator, a) => {
                let a = self.constant_value(a)?;
                Some(match operator {
                    Unary::Not => u64::from(a == 0),
                    Unary::Complement => !a,
                    Unary::Negate => a.wrapping_neg(),
                    Unary::Plus => a,
                })
            }
            Kind::Binary(operator, a, b) => {
                let (a, b) = (self.constant_value(a)?, self.constant_value(b)?);
                match operator {
                    Binary::And => Some(u64::from(a != 0 && b != 0)),
                    Binary::Or => Some(u64::from(a != 0 || b != 0)),
                    Binary::Other(operator) => operator.apply(a, b),
                }
            }
            Kind::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                let chosen = if self.constant_value(condition)? == 0 { no } else { yes };
                self.constant_value(chosen)
            }
            Kind::SizeOfType(_) | Kind::SizeOf(_) => self.size_of(expression),
            _ => None,
        }
    }

    /// `sizeof` of a type, or of an expression, which is not evaluated.
    fn size_of(&mut self, expression: &Expression) -> Option<u64> {
        let of = match &expression.kind {
            Kind::SizeOfType(parameter) => {
                let base = self.base(&parameter.base)?;
                self.type_of_name(&base, &parameter.name)?
            }
            Kind::SizeOf(inner) => self.type_of(inner)?,
            _ => return None,
        };
        if let Some(size) = self.records.size(&of) {
            return Some(size);
        }
        let problem = format!("{} has no size", self.records.describe(&of));
        self.wrong(expression.span, problem, "expected something in memory")
    }
}
