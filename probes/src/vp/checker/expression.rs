//! Checks expressions: forms that have a value, and calls.

use inspect::suggest::nearest;

use crate::diagnostic::Diagnostic;
use crate::front::comparison;
use crate::ir::{Expression, Integer, Operator, Scan, Space, Statement, Str, TaskValue};

use super::super::tree::{Node, NodeKind};
use super::{Call, Checker, Slot};
use crate::front::vocabulary::{self, Head, Value};

/// What happens to an expression's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The value is used.
    Taken,
    /// The value is dropped, so its type doesn't matter.
    Dropped,
}

impl Checker<'_> {
    /// An expression whose value is dropped.
    pub(super) fn statement(&mut self, node: &Node) -> Option<Statement> {
        self.expression(node, Use::Dropped).map(Statement::Evaluate)
    }

    /// An expression of either type.
    pub(super) fn expression(&mut self, node: &Node, usage: Use) -> Option<Expression> {
        if self.problems.is_full() {
            return None;
        }
        match &node.kind {
            NodeKind::Integer(value) => Some(Expression::Integer(Integer::Constant(*value))),
            NodeKind::Literal(literal) => {
                let text = self.text(literal, node.span)?;
                Some(Expression::Str(Str::Constant(text.as_bytes().into())))
            }
            NodeKind::Word(word) => self.name(word, node.span),
            NodeKind::List(list) => {
                let call = self.call(node.span, list, "expected a form, function or operator")?;
                self.value(&call, usage)
            }
        }
    }

    fn value(&mut self, call: &Call, usage: Use) -> Option<Expression> {
        if let Some(function) = self.function_named(call.name) {
            return self.call_function(call, function);
        }
        let value = match vocabulary::head(call.name) {
            Some(Head::Value(value)) => value,
            Some(Head::Never(reason)) => {
                let problem = format!("{} is not available: {reason}", call.name);
                return self.fail(Diagnostic::error(call.head, problem, "not available"));
            }
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
            Value::SymName => {
                let address = self.single(call)?;
                return Some(Expression::Str(Str::SymbolName(address)));
            }
            Value::CurProcName => return self.task_name(call).map(Expression::Str),
            Value::CurTask => self.task(call, TaskValue::Address),
            Value::CurPid => self.task(call, TaskValue::Process),
            Value::SetInt => self.set_integer(call),
            Value::Printf => self.printf(call),
            Value::Sprintf => self.sprintf(call),
            Value::LogStr => self.log(call, true),
            Value::LogInt => self.log(call, false),
            Value::Assert => self.assert(call),
            Value::Strcmp => self.compare(call),
            Value::GuestStack => self.guest_stack(call),
            Value::GetGuest => self.get_guest(call, Space::Linear),
            Value::GetGuestPhys => self.get_guest(call, Space::Physical),
            Value::GetGuestStr => self.get_guest_string(call, Space::Linear),
            Value::GetGuestPhysStr => self.get_guest_string(call, Space::Physical),
            Value::GetSystemTime => self.system_time(call),
            Value::OffAtRet => self.scan(call, Scan::Return),
            Value::OffAtSeg => self.scan(call, Scan::Segment),
            Value::OffAtStrcpy => self.scan(call, Scan::Source),
            Value::GetGpr => {
                let number = self.single(call)?;
                Some(Integer::GeneralRegister(number, self.place(call.span)))
            }
            Value::ReadMsr => {
                let number = self.single(call)?;
                Some(Integer::ModelRegister(number, self.place(call.span)))
            }
            Value::Destructive(action) => self.action(call, action),
            Value::Exit => self.ending(call, Statement::Exit),
            Value::Unload => self.ending(call, Statement::Unload),
            Value::Aggr => self.aggregate(call),
            Value::LogAggr => self.on_aggregate(call, Integer::LogAggregate),
            Value::ClearAggr => self.on_aggregate(call, Integer::ClearAggregate),
            Value::BagInsert => self.bag_insert(call),
            Value::BagRemove => self.bag_remove(call),
            Value::And => self.integers(call, 2).map(Integer::And),
            Value::Or => self.integers(call, 2).map(Integer::Or),
            Value::Not => self.single(call).map(Integer::Not),
            Value::Complement => self.single(call).map(Integer::Complement),
            Value::Fold(operator) => self.fold(call, operator),
        };
        integer.map(Expression::Integer)
    }

    fn unknown_head<T>(&mut self, call: &Call) -> Option<T> {
        if self.what_is(call.name).is_some() {
            let problem = format!("{} is a variable, so it can't be called", call.name);
            return self.fail(
                Diagnostic::error(call.head, problem, "expected a form, function or operator")
                    .with_help(format!("write {} without parentheses for its value", call.name)),
            );
        }
        let functions = self.variables.iter().filter(|(_, v)| matches!(v.slot, Slot::Function(_)));
        let mut known: Vec<&str> = functions.map(|(name, _)| name.as_str()).collect();
        for name in vocabulary::values() {
            known.push(name);
        }
        let near = nearest(call.name, known).map(str::to_owned);
        self.unknown(call.name, call.head, "expected a form, function or operator", near.as_deref())
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
                // The value is dropped, so any value will do.
                Some((condition, value)) if usage == Use::Dropped => integers.push((
                    condition,
                    Integer::Sequence(
                        vec![Statement::Evaluate(value)],
                        Box::new(Integer::Constant(0)),
                    ),
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
        let target = self.integer_target(target, "an integer variable")?;
        Some(Integer::Set(target, Box::new(value?)))
    }

    fn set_string(&mut self, call: &Call) -> Option<Str> {
        let [target, value] = call.arguments else {
            return self.arity(call, "a string variable and a value");
        };
        let value = self.string(value);
        let target = self.string_target(target, "a string variable")?;
        Some(Str::Set(target, Box::new(value?)))
    }

    fn compare(&mut self, call: &Call) -> Option<Integer> {
        let [a, b] = call.arguments else { return self.arity(call, "two strings") };
        let a = self.string(a);
        let b = self.string(b)?;
        Some(Integer::Compare(Box::new(a?), Box::new(b)))
    }

    fn fold(&mut self, call: &Call, operator: Operator) -> Option<Integer> {
        let least = if operator == Operator::Subtract { 1 } else { 2 };
        let mut operands = self.integers(call, least)?;
        if operands.len() == 1 {
            operands.insert(0, Integer::Constant(0));
        }
        if let [a, b] = operands.as_slice()
            && let Some(warning) = comparison::warning(operator, a, b, call.span)
        {
            self.problems.report(warning);
        }
        Some(Integer::Fold(operator, operands, self.place(call.span)))
    }
}
