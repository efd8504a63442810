//! Checks pointers, fields, arrays and casts: everything that is read through a memory model.

use super::super::tree::{Expression, Kind, Parameter};
use super::super::types::{Model, Type};
use super::value::Value;
use super::{Checker, Entity};
use crate::diagnostic::Diagnostic;
use crate::ir::{Integer, Operator};
use crate::source::Span;

/// A place in memory, with its type.
pub(super) struct There {
    address: Integer,
    of: Type,
    model: Model,
    bits: Option<(u8, u8)>,
}

impl Checker<'_> {
    /// Checks arithmetic on numbers and pointers. A pointer moves in units of the type to which it
    /// points.
    pub(super) fn arithmetic(
        &mut self,
        operator: Operator,
        (a, a_type): (Integer, Type),
        (b, b_type): (Integer, Type),
        span: Span,
    ) -> Option<Value> {
        match (operator, a_type, b_type) {
            (Operator::Subtract, Type::Pointer(x, _), Type::Pointer(y, _)) if x == y => {
                let bytes = self.fold(operator, a, b, span);
                let size = self.step(&x);
                Value::number(match size {
                    1 => bytes,
                    size => self.fold(Operator::Divide, bytes, Integer::Constant(size), span),
                })
            }
            (Operator::Add | Operator::Subtract, Type::Pointer(of, model), Type::Integer(_)) => {
                let by = self.scaled(b, &of, span);
                let moved = self.fold(operator, a, by, span);
                Some(Value::Number(moved, Type::Pointer(of, model)))
            }
            (Operator::Add, Type::Integer(_), Type::Pointer(of, model)) => {
                let by = self.scaled(a, &of, span);
                let moved = self.fold(operator, b, by, span);
                Some(Value::Number(moved, Type::Pointer(of, model)))
            }
            _ => Value::number(self.fold(operator, a, b, span)),
        }
    }

    /// The distance from one element to the next in bytes; 1 for a type without a size.
    fn step(&self, of: &Type) -> u64 {
        self.records.size(of).unwrap_or(1).max(1)
    }

    fn scaled(&mut self, count: Integer, of: &Type, span: Span) -> Integer {
        match self.step(of) {
            1 => count,
            size => self.fold(Operator::Multiply, count, Integer::Constant(size), span),
        }
    }

    /// The place that `*p`, `p->f`, `s.f` or `p[i]` denotes.
    pub(super) fn there(&mut self, expression: &Expression) -> Option<There> {
        let span = expression.span;
        match &expression.kind {
            Kind::Load(pointer) => {
                let (address, of) = self.number(pointer)?;
                self.behind(address, of, pointer.span)
            }
            Kind::Member { of, field, arrow: true } => {
                let (address, pointer) = self.number(of)?;
                let record = self.behind(address, pointer, of.span)?;
                self.member(record, field, span, of.span)
            }
            Kind::Member { of, field, arrow: false } => {
                let record = self.there(of)?;
                self.member(record, field, span, of.span)
            }
            Kind::Index(of, keys) => {
                let [index] = keys.as_slice() else {
                    return self.wrong(span, "an array has one index", "expected [INDEX]");
                };
                let (start, pointer) = self.number(of)?;
                let index = self.integer(index)?;
                let there = self.behind(start, pointer, of.span)?;
                let by = self.scaled(index, &there.of, span);
                let address = self.fold(Operator::Add, there.address, by, span);
                Some(There { address, ..there })
            }
            _ => {
                let label = "expected *pointer, pointer->field or pointer[index]";
                self.wrong(span, "this is not in memory", label)
            }
        }
    }

    /// The place to which a pointer points.
    fn behind(&mut self, address: Integer, pointer: Type, span: Span) -> Option<There> {
        let Type::Pointer(of, model) = pointer else {
            let problem = format!("this is {}", self.records.describe(&pointer));
            return self.fail(
                Diagnostic::error(span, problem, "expected a pointer")
                    .with_help("cast it first, as in (struct name *)value"),
            );
        };
        Some(There { address, of: *of, model, bits: None })
    }

    fn member(&mut self, record: There, name: &str, span: Span, of: Span) -> Option<There> {
        let Type::Record(index) = record.of else {
            let problem = format!("this is {}", self.records.describe(&record.of));
            return self.wrong(of, problem, "expected a structure");
        };
        let field = self.field_named(index, name, span)?;
        let offset = Integer::Constant(field.offset);
        let address = self.fold(Operator::Add, record.address, offset, span);
        Some(There { address, of: field.of, model: record.model, bits: field.bits })
    }

    /// The value at a place in memory. Arrays and structures are not loaded; their address is the
    /// value.
    pub(super) fn read(&mut self, there: There, span: Span) -> Option<Value> {
        let There { address, of, model, bits } = there;
        if !of.is_scalar() {
            if matches!(of, Type::Void | Type::Str) {
                let problem = format!("there is no reading {}", self.records.describe(&of));
                return self.wrong(span, problem, "expected a pointer to something with a size");
            }
            return Some(Value::Memory(address, of, model));
        }
        let size = self.records.size(&of).unwrap_or(8) as u8;
        let place = self.place(span);
        let load = Integer::Load { space: model.space(), address: Box::new(address), size, place };
        let Some((first, width)) = bits else { return Some(Value::Number(load, of)) };
        let shifted = match first {
            0 => load,
            first => {
                let by = Integer::Constant(first.into());
                self.fold(Operator::ShiftRight, load, by, span)
            }
        };
        let mask = Integer::Constant(u64::MAX >> (64 - u32::from(width.clamp(1, 64))));
        Some(Value::Number(self.fold(Operator::BitAnd, shifted, mask, span), of))
    }

    /// `a[k]`: removes from a bag, reads an aggregate, or reads memory.
    pub(super) fn index(
        &mut self,
        of: &Expression,
        keys: &[Expression],
        span: Span,
    ) -> Option<Value> {
        if let Kind::Name(name) = &of.kind
            && self.local(name).is_none()
            && let Some(entity @ (Entity::Bag(_) | Entity::Aggregate(_))) = self.entity(name)
        {
            return match entity {
                Entity::Bag(slot) => self.bag_remove(slot, keys, span),
                _ => self.figure(of, keys, crate::ir::Reading::Sum, span),
            };
        }
        let whole = Expression::new(span, Kind::Index(Box::new(of.clone()), keys.to_vec()));
        let there = self.there(&whole)?;
        self.read(there, span)
    }

    /// `&p->f`, or `&symbol`, the address of a symbol of the guest.
    pub(super) fn address(&mut self, of: &Expression, span: Span) -> Option<Value> {
        let Kind::Name(name) = &of.kind else {
            let there = self.there(of)?;
            if there.bits.is_some() {
                return self.wrong(span, "a bit-field has no address", "expected another field");
            }
            let pointer = match there.of {
                Type::Array(of, _) => Type::Pointer(of, there.model),
                of => Type::Pointer(Box::new(of), there.model),
            };
            return Some(Value::Number(there.address, pointer));
        };
        if self.local(name).is_some() || self.entity(name).is_some() {
            let problem = format!("{name} is a variable of the script, which has no address");
            return self.wrong(of.span, problem, "expected a symbol of the guest");
        }
        let address = self.symbol(name, of.span)?;
        let pointer = Type::Pointer(Box::new(Type::Void), self.model);
        Some(Value::Number(Integer::Constant(address), pointer))
    }

    /// The address of a symbol of the guest.
    pub(super) fn symbol(&mut self, name: &str, span: Span) -> Option<u64> {
        let Some(symbols) = self.scope.symbols else {
            let problem = format!("there are no symbols to look {name} up in");
            return self.fail(
                Diagnostic::error(span, problem, "expected an address")
                    .with_help("--symbols takes a file that has them"),
            );
        };
        if let Some(address) = symbols.address(name) {
            return Some(address);
        }
        let problem = format!("{} has no symbol {name}", symbols.name());
        let near = symbols.nearest(name);
        self.fail(
            Diagnostic::error(span, problem, "expected a symbol of the guest")
                .suggesting(near.as_deref()),
        )
    }

    pub(super) fn cast(&mut self, to: &Parameter, value: &Expression, span: Span) -> Option<Value> {
        let to = self.parameter(to)?;
        let inner = self.value(value)?;
        match to {
            Type::Void => Some(Value::Nothing(Self::dropped(inner))),
            Type::Str => match inner {
                // Any number can be the address of characters here.
                Value::Number(address, of) => {
                    let model = self.model_of(&of);
                    let bytes = Type::Pointer(Box::new(Type::Integer(1)), model);
                    self.as_text(Value::Number(address, bytes), span).map(Value::Text)
                }
                other => self.as_text(other, value.span).map(Value::Text),
            },
            Type::Integer(bytes) => {
                let (integer, of) = self.as_number(inner, value.span)?;
                let narrower = !matches!(of, Type::Integer(had) if had <= bytes);
                let integer = if bytes < 8 && narrower {
                    let mask = Integer::Constant(u64::MAX >> (64 - 8 * u32::from(bytes)));
                    self.fold(Operator::BitAnd, integer, mask, span)
                } else {
                    integer
                };
                Some(Value::Number(integer, Type::Integer(bytes)))
            }
            Type::Pointer(of, _) => {
                let (integer, had) = self.as_number(inner, value.span)?;
                // The pointer keeps the memory model of the value that is cast.
                let model = self.model_of(&had);
                Some(Value::Number(integer, Type::Pointer(of, model)))
            }
            Type::Array(..) | Type::Record(_) => {
                let problem = format!("there is no casting to {}", self.records.describe(&to));
                self.wrong(span, problem, "expected an integer, a pointer or a string")
            }
        }
    }
}
