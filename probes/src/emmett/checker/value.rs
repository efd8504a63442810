//! Values of expressions, and their conversion to the type that is needed.

use super::super::tree::Expression;
use super::super::types::{Model, Type};
use super::Checker;
use crate::front::comparison;
use crate::ir::{self, Integer, Operator, Place, Space, Statement, Str, StringTarget};
use crate::source::Span;

/// The value of an expression.
pub(super) enum Value {
    /// An integer or a pointer.
    Number(Integer, Type),
    /// A string.
    Text(Str),
    /// An array or structure in memory: its address.
    Memory(Integer, Type, Model),
    /// Statements that run and yield no value.
    Nothing(Vec<Statement>),
}

impl Value {
    /// A number without a particular type.
    #[allow(clippy::unnecessary_wraps)] // an `Option` as callers return it
    pub(super) fn number(integer: Integer) -> Option<Self> {
        Some(Self::Number(integer, Type::NUMBER))
    }
}

impl Checker<'_> {
    /// Checks an expression that must be a number. An array becomes its address.
    pub(super) fn number(&mut self, expression: &Expression) -> Option<(Integer, Type)> {
        let value = self.value(expression)?;
        self.as_number(value, expression.span)
    }

    pub(super) fn as_number(&mut self, value: Value, span: Span) -> Option<(Integer, Type)> {
        match value {
            Value::Number(integer, of) => Some((integer, of)),
            Value::Memory(address, Type::Array(of, _), model) => {
                Some((address, Type::Pointer(of, model)))
            }
            Value::Memory(_, of, _) => {
                let problem = format!("this is {}", self.records.describe(&of));
                self.wrong(span, problem, "expected one of its fields")
            }
            Value::Text(_) => self.wrong(span, "this is a string", "expected an integer"),
            Value::Nothing(_) => self.wrong(span, "this yields nothing", "expected an integer"),
        }
    }

    /// Checks an expression that must be a number, and ignores its type.
    pub(super) fn integer(&mut self, expression: &Expression) -> Option<Integer> {
        self.number(expression).map(|(integer, _)| integer)
    }

    /// Checks an expression that must be a string. A pointer to characters is read.
    pub(super) fn text(&mut self, expression: &Expression) -> Option<Str> {
        let value = self.value(expression)?;
        self.as_text(value, expression.span)
    }

    pub(super) fn as_text(&mut self, value: Value, span: Span) -> Option<Str> {
        match value {
            Value::Text(text) => Some(text),
            Value::Number(address, Type::Pointer(of, model)) if *of == Type::Integer(1) => {
                let place = self.place(span);
                Some(Str::Load(model.space(), Box::new(address), place))
            }
            Value::Memory(address, Type::Array(of, count), model) if *of == Type::Integer(1) => {
                let place = self.place(span);
                Some(self.read_text(model.space(), address, count, place))
            }
            Value::Number(..) => self.wrong(span, "this is an integer", "expected a string"),
            Value::Memory(_, of, _) => {
                let problem = format!("this is {}", self.records.describe(&of));
                self.wrong(span, problem, "expected a string")
            }
            Value::Nothing(_) => self.wrong(span, "this yields nothing", "expected a string"),
        }
    }

    /// Reads the characters of an array, which may lack a terminating NUL.
    pub(super) fn read_text(
        &mut self,
        space: Space,
        address: Integer,
        count: u64,
        place: Place,
    ) -> Str {
        let limit = if count == 0 { crate::text::Text::MAX as u64 } else { count };
        let target = StringTarget::Local(self.new_string());
        let load = Integer::LoadString {
            target,
            space,
            address: Box::new(address),
            limit: Box::new(Integer::Constant(limit)),
            place,
        };
        let read = Statement::Evaluate(ir::Expression::Integer(load));
        Str::Sequence(vec![read], Box::new(Str::Get(target)))
    }

    /// Turns a value that is not used into statements.
    pub(super) fn dropped(value: Value) -> Vec<Statement> {
        match value {
            Value::Number(integer, _) | Value::Memory(integer, ..) => {
                vec![Statement::Evaluate(ir::Expression::Integer(integer))]
            }
            Value::Text(text) => vec![Statement::Evaluate(ir::Expression::Str(text))],
            Value::Nothing(statements) => statements,
        }
    }

    /// Applies an operator. The result is calculated here if both operands are constants.
    pub(super) fn fold(
        &mut self,
        operator: Operator,
        a: Integer,
        b: Integer,
        span: Span,
    ) -> Integer {
        match (&a, &b) {
            (Integer::Constant(x), Integer::Constant(y)) => {
                if let Some(value) = operator.apply(*x, *y) {
                    return Integer::Constant(value);
                }
            }
            (_, Integer::Constant(0)) if operator == Operator::Add => return a,
            (Integer::Constant(0), _) if operator == Operator::Add => return b,
            _ => {}
        }
        if let Some(warning) = comparison::warning(operator, &a, &b, span) {
            self.problems.report(warning);
        }
        let place = self.place(span);
        Integer::Fold(operator, vec![a, b], place)
    }
}
