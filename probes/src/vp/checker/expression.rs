//! Expressions: forms with a value, and calls.

use crate::diagnostic::Diagnostic;
use crate::ir::{Expression, Integer, Operator, Str};
use crate::suggest::nearest;

use super::super::tree::{Node, NodeKind};
use super::super::vocabulary::{self, Head, Value};
use super::{Call, Checker, Slot};

/// What becomes of an expression's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Somebody takes it.
    Taken,
    /// It is dropped, so that its type doesn't matter.
    Dropped,
}

impl Checker {
    /// An expression whose value is dropped.
    pub(super) fn statement(&mut self, node: &Node) -> Option<Expression> {
        self.expression(node, Use::Dropped)
    }

    /// An expression of either type.
    pub(super) fn expression(&mut self, node: &Node, usage: Use) -> Option<Expression> {
        if self.is_full() {
            return None;
        }
        match &node.kind {
            NodeKind::Integer(value) => Some(Expression::Integer(Integer::Constant(*value))),
            NodeKind::Literal(literal) => {
                Some(Expression::Str(Str::Constant(self.text(literal, node.span)?)))
            }
            NodeKind::Word(word) => self.name(word, node.span),
            NodeKind::List(list) => {
                let call = self.call(node.span, list, "expected a form, function or operator")?;
                self.value(&call, usage)
            }
        }
    }

    fn value(&mut self, call: &Call, usage: Use) -> Option<Expression> {
        let value = match vocabulary::head(call.name) {
            Some(Head::Value(value)) => value,
            Some(Head::NotYet(what)) => return self.not_yet(call, what),
            Some(Head::Top(_)) => {
                let problem = format!("{} can't stand inside a probe", call.name);
                return self.fail(Diagnostic::error(call.head, problem, "expected an expression"));
            }
            None => return self.unknown_head(call),
        };
        let integer = match value {
            Value::Do => return self.sequence(call, usage),
            Value::Cond => return self.cond(call, usage),
            Value::SetStr => return self.set_string(call).map(Expression::Str),
            Value::SetInt => self.set_integer(call),
            Value::Printf => self.printf(call),
            Value::GuestStack => self.guest_stack(call),
            Value::And => self.integers(call, 2).map(Integer::And),
            Value::Or => self.integers(call, 2).map(Integer::Or),
            Value::Not => self.single(call).map(Integer::Not),
            Value::Complement => self.single(call).map(Integer::Complement),
            Value::Fold(operator) => self.fold(call, operator),
        };
        integer.map(Expression::Integer)
    }

    fn unknown_head<T>(&mut self, call: &Call) -> Option<T> {
        if self.variables.contains_key(call.name) {
            let problem = format!("{} is a variable, so it can't be called", call.name);
            return self.fail(
                Diagnostic::error(call.head, problem, "expected a form, function or operator")
                    .with_help(format!("write {} without parentheses for its value", call.name)),
            );
        }
        let near = nearest(call.name, vocabulary::values());
        self.unknown(call.name, call.head, "expected a form, function or operator", near)
    }

    fn sequence(&mut self, call: &Call, usage: Use) -> Option<Expression> {
        let [before @ .., last] = call.arguments else {
            return self.arity(call, "at least one expression");
        };
        let before: Vec<_> = before.iter().map(|node| self.statement(node)).collect();
        let last = self.expression(last, usage)?;
        let before = before.into_iter().collect::<Option<Vec<_>>>()?;
        Some(match last {
            Expression::Integer(last) => {
                Expression::Integer(Integer::Sequence(before, Box::new(last)))
            }
            Expression::Str(last) => Expression::Str(Str::Sequence(before, Box::new(last))),
        })
    }

    fn cond(&mut self, call: &Call, usage: Use) -> Option<Expression> {
        if call.arguments.is_empty() {
            return self.arity(call, "at least one (condition expression)");
        }
        let mut integers = Vec::new();
        let mut strings = Vec::new();
        let mut complete = true;
        for arm in call.arguments {
            match self.arm(arm, usage) {
                Some((condition, Expression::Integer(value))) => integers.push((condition, value)),
                // Nobody looks at the value, so any will do.
                Some((condition, value)) if usage == Use::Dropped => integers.push((
                    condition,
                    Integer::Sequence(vec![value], Box::new(Integer::Constant(0))),
                )),
                Some((condition, Expression::Str(value))) => strings.push((condition, value)),
                None => complete = false,
            }
            if !integers.is_empty() && !strings.is_empty() {
                return self.fail(Diagnostic::error(
                    arm.span,
                    "this cond yields an integer in one arm and a string in another",
                    "expected the same type as in the arms before",
                ));
            }
        }
        if !complete {
            return None;
        }
        Some(if strings.is_empty() {
            Expression::Integer(Integer::Choice(integers))
        } else {
            Expression::Str(Str::Choice(strings))
        })
    }

    fn arm(&mut self, arm: &Node, usage: Use) -> Option<(Integer, Expression)> {
        let NodeKind::List(list) = &arm.kind else {
            return self.fail(Diagnostic::error(
                arm.span,
                "cond takes lists",
                "expected (condition expression)",
            ));
        };
        let [condition, value] = list.as_slice() else {
            return self.fail(
                Diagnostic::error(
                    arm.span,
                    format!("this arm of a cond has {} parts", list.len()),
                    "expected (condition expression)",
                )
                .with_help("put several expressions into (do ...)"),
            );
        };
        let condition = self.integer(condition);
        let value = self.expression(value, usage)?;
        Some((condition?, value))
    }

    fn set_integer(&mut self, call: &Call) -> Option<Integer> {
        let [target, value] = call.arguments else {
            return self.arity(call, "an integer variable and a value");
        };
        let value = self.integer(value);
        match self.target(target, "an integer variable")? {
            Slot::Integer(slot) => Some(Integer::Set(slot, Box::new(value?))),
            Slot::Str(_) => self.fail(
                Diagnostic::error(target.span, "this is a string", "expected an integer variable")
                    .with_help("setstr assigns to a string"),
            ),
        }
    }

    fn set_string(&mut self, call: &Call) -> Option<Str> {
        let [target, value] = call.arguments else {
            return self.arity(call, "a string variable and a value");
        };
        let value = self.string(value);
        match self.target(target, "a string variable")? {
            Slot::Str(slot) => Some(Str::Set(slot, Box::new(value?))),
            Slot::Integer(_) => self.fail(
                Diagnostic::error(target.span, "this is an integer", "expected a string variable")
                    .with_help("setint assigns to an integer"),
            ),
        }
    }

    fn guest_stack(&mut self, call: &Call) -> Option<Integer> {
        let [target] = call.arguments else { return self.arity(call, "a string variable") };
        match self.target(target, "a string variable")? {
            Slot::Str(slot) => Some(Integer::GuestStack(slot, self.place(call.span))),
            Slot::Integer(_) => self.fail(Diagnostic::error(
                target.span,
                "this is an integer",
                "expected a string variable that takes the stack",
            )),
        }
    }

    fn fold(&mut self, call: &Call, operator: Operator) -> Option<Integer> {
        let least = if operator == Operator::Subtract { 1 } else { 2 };
        let mut operands = self.integers(call, least)?;
        if operands.len() == 1 {
            operands.insert(0, Integer::Constant(0));
        }
        Some(Integer::Fold(operator, operands, self.place(call.span)))
    }
}
