//! Checks expressions.

use inspect::suggest::nearest;

use super::super::tree::{Binary, Expression, Kind, Unary};
use super::super::types::Type;
use super::value::Value;
use super::{Checker, Entity, Local};
use crate::diagnostic::Diagnostic;
use crate::front::foreign;
use crate::ir::{Integer, IntegerTarget, Operator, Reading, Statement, Str, StringTarget};
use crate::source::{Literal, Span};
use crate::text::Text;
use crate::variable::{self, Builtin};

/// The target of an assignment.
pub(super) enum Target {
    Integer(IntegerTarget, Type),
    Str(StringTarget),
}

impl Checker<'_> {
    /// Checks any expression.
    pub(super) fn value(&mut self, expression: &Expression) -> Option<Value> {
        if self.problems.is_full() {
            return None;
        }
        let span = expression.span;
        match &expression.kind {
            Kind::Number(value) => Value::number(Integer::Constant(*value)),
            Kind::Text(literal) => {
                let text = self.checked(literal, span)?;
                Some(Value::Text(Str::Constant(text.as_bytes().into())))
            }
            Kind::Name(_) if self.is_aggregate(expression) => {
                self.figure(expression, &[], Reading::Sum, span)
            }
            Kind::Name(name) => self.name(name, span),
            Kind::Unary(operator, operand) => self.unary(*operator, operand),
            Kind::Binary(operator, a, b) => self.binary(*operator, a, b, span),
            Kind::Conditional(parts) => self.conditional(parts),
            Kind::Assign(operator, target, value) => self.assign(*operator, target, value, span),
            Kind::Insert(target, value) => self.insert(target, value, span),
            Kind::Bump { target, up, before } => self.bump(target, *up, *before, span),
            Kind::Index(of, keys) => self.index(of, keys, span),
            Kind::Load(_) | Kind::Member { .. } => {
                let there = self.there(expression)?;
                self.read(there, span)
            }
            Kind::Address(of) => self.address(of, span),
            Kind::Call(name, head, arguments) => self.call(name, *head, arguments, span),
            Kind::Cast(to, value) => self.cast(to, value, span),
            Kind::SizeOfType(_) | Kind::SizeOf(_) => {
                self.constant(expression).map(Integer::Constant).and_then(Value::number)
            }
        }
    }

    /// Checks the length of a string literal.
    pub(super) fn checked(&mut self, literal: &Literal, span: Span) -> Option<Text> {
        let bytes = literal.value.as_bytes();
        if bytes.len() > Text::MAX {
            let problem = format!("this string has {} bytes", bytes.len());
            return self.wrong(span, problem, "a string has at most 255 bytes");
        }
        Some(Text::from(bytes))
    }

    /// Checks an expression that must be a string literal.
    pub(super) fn literal(&mut self, expression: &Expression) -> Option<Text> {
        match &expression.kind {
            Kind::Text(literal) => self.checked(literal, expression.span),
            _ => self.wrong(expression.span, "this is no string", "expected one in double quotes"),
        }
    }

    fn name(&mut self, name: &str, span: Span) -> Option<Value> {
        match self.local(name) {
            Some(Local::Argument(variable, of)) => {
                let place = self.place(span);
                return Some(Value::Number(Integer::Builtin(variable, place), of));
            }
            Some(Local::Integer(local, of)) => {
                return Some(Value::Number(Integer::Get(IntegerTarget::Local(local)), of));
            }
            Some(Local::Str(target)) => return Some(Value::Text(Str::Get(target))),
            None => {}
        }
        match self.entity(name) {
            Some(Entity::Integer(target, of)) => {
                return Some(Value::Number(Integer::Get(target), of));
            }
            Some(Entity::Str(slot)) => {
                return Some(Value::Text(Str::Get(StringTarget::Variable(slot))));
            }
            Some(Entity::Constant(value)) => return Value::number(Integer::Constant(value)),
            Some(other) => {
                let problem =
                    format!("{name} is {}, which has no value by itself", other.describe());
                return self.wrong(span, problem, "expected a variable");
            }
            None => {}
        }
        match variable::value(name, self.scope.repeatable) {
            Some(Builtin::Integer(variable)) => {
                let place = self.place(span);
                Value::number(Integer::Builtin(variable, place))
            }
            Some(Builtin::Constant(value)) => Value::number(Integer::Constant(value)),
            Some(Builtin::ProbeName) => Some(Value::Text(Str::ProbeName)),
            Some(Builtin::ExitName) => Some(Value::Text(Str::ExitName)),
            Some(Builtin::Missing(reason)) => {
                let problem = format!("variable {name} is not available: {reason}");
                self.wrong(span, problem, "not available")
            }
            None => self.unknown(name, span, "expected a variable"),
        }
    }

    /// Reports a name that is not defined anywhere. Each name is reported once.
    pub(super) fn unknown<T>(&mut self, name: &str, span: Span, label: &str) -> Option<T> {
        if !self.reported.insert(name.to_owned()) {
            // The earlier report already prevents the script from being loaded.
            return None;
        }
        let mut known: Vec<&str> = self.names.keys().map(String::as_str).collect();
        let locals = self.locals.iter().flat_map(|block| block.keys());
        known.extend(locals.map(String::as_str));
        known.sort_unstable();
        for name in variable::names() {
            known.push(name);
        }
        let near = nearest(name, known).map(str::to_owned);
        let error = Diagnostic::error(span, format!("unknown ident {name}"), label);
        self.fail(match foreign::name(name) {
            Some(here) => error.with_help(here),
            None => error.suggesting(near.as_deref()),
        })
    }

    fn unary(&mut self, operator: Unary, operand: &Expression) -> Option<Value> {
        let (operand, of) = self.number(operand)?;
        let operand = Box::new(operand);
        match operator {
            Unary::Plus => Some(Value::Number(*operand, of)),
            Unary::Not => Value::number(Integer::Not(operand)),
            Unary::Complement => Value::number(match *operand {
                Integer::Constant(value) => Integer::Constant(!value),
                other => Integer::Complement(Box::new(other)),
            }),
            Unary::Negate => {
                let zero = Integer::Constant(0);
                let span = Span::new(0, 0, 0);
                Value::number(self.fold(Operator::Subtract, zero, *operand, span))
            }
        }
    }

    fn binary(
        &mut self,
        operator: Binary,
        a: &Expression,
        b: &Expression,
        span: Span,
    ) -> Option<Value> {
        let (left, right) = (self.value(a), self.value(b));
        let (left, right) = (left?, right?);
        if matches!(left, Value::Text(_)) || matches!(right, Value::Text(_)) {
            let left = self.as_text(left, a.span);
            let right = self.as_text(right, b.span);
            return self.text_operator(operator, left?, right?, span);
        }
        let left = self.as_number(left, a.span);
        let right = self.as_number(right, b.span);
        let ((left, left_type), (right, right_type)) = (left?, right?);
        match operator {
            Binary::And => Value::number(Integer::And(vec![left, right])),
            Binary::Or => Value::number(Integer::Or(vec![left, right])),
            Binary::Other(operator) => {
                self.arithmetic(operator, (left, left_type), (right, right_type), span)
            }
        }
    }

    fn text_operator(&mut self, operator: Binary, a: Str, b: Str, span: Span) -> Option<Value> {
        match operator {
            Binary::Other(Operator::Add) => {
                let mut parts = match a {
                    Str::Concatenate(parts) => parts,
                    other => vec![other],
                };
                parts.push(b);
                Some(Value::Text(Str::Concatenate(parts)))
            }
            Binary::Other(operator @ (Operator::Equal | Operator::NotEqual)) => {
                let order = Integer::Compare(Box::new(a), Box::new(b));
                Value::number(self.fold(operator, order, Integer::Constant(0), span))
            }
            _ => {
                let problem = format!("strings have no operator {}", operator.sign());
                self.wrong(span, problem, "expected +, == or !=")
            }
        }
    }

    fn conditional(&mut self, parts: &[Expression; 3]) -> Option<Value> {
        let [condition, yes, no] = parts;
        let condition = self.integer(condition);
        let (first, second) = (self.value(yes), self.value(no));
        let (condition, first, second) = (condition?, first?, second?);
        if matches!(first, Value::Text(_)) || matches!(second, Value::Text(_)) {
            let first = self.as_text(first, yes.span);
            let second = self.as_text(second, no.span);
            let arms = vec![(condition, first?), (Integer::Constant(1), second?)];
            return Some(Value::Text(Str::Choice(arms)));
        }
        let first = self.as_number(first, yes.span);
        let second = self.as_number(second, no.span);
        let ((first, of), (second, _)) = (first?, second?);
        let arms = vec![(condition, first), (Integer::Constant(1), second)];
        Some(Value::Number(Integer::Choice(arms), of))
    }

    /// Checks the target of an assignment.
    pub(super) fn target(&mut self, expression: &Expression) -> Option<Target> {
        let span = expression.span;
        let Kind::Name(name) = &expression.kind else {
            let label = "expected a variable";
            let memory = matches!(expression.kind, Kind::Load(_) | Kind::Member { .. });
            let diagnostic = Diagnostic::error(span, "this can't be assigned to", label);
            let help = "probes only read the guest's memory";
            return self.fail(if memory { diagnostic.with_help(help) } else { diagnostic });
        };
        match self.local(name) {
            Some(Local::Integer(local, of)) => {
                return Some(Target::Integer(IntegerTarget::Local(local), of));
            }
            Some(Local::Str(target)) => return Some(Target::Str(target)),
            Some(Local::Argument(..)) => {
                let problem =
                    format!("{name} is an argument of the probe and can't be assigned to");
                return self.wrong(span, problem, "expected a variable");
            }
            None => {}
        }
        match self.entity(name) {
            Some(Entity::Integer(target, of)) => Some(Target::Integer(target, of)),
            Some(Entity::Str(slot)) => Some(Target::Str(StringTarget::Variable(slot))),
            Some(other) => {
                let problem = format!("{name} is {}", other.describe());
                self.wrong(span, problem, "expected a variable")
            }
            None if variable::find(name).is_some() => {
                let problem = format!("{name} is built in and can't be assigned to");
                self.wrong(span, problem, "expected a variable")
            }
            None => self.unknown(name, span, "expected a variable"),
        }
    }

    fn assign(
        &mut self,
        operator: Option<Binary>,
        target: &Expression,
        value: &Expression,
        span: Span,
    ) -> Option<Value> {
        if let Some((of, keys)) = self.keyed(target)
            && operator.is_none()
            && self.is_aggregate(of)
        {
            return self.update(of, keys, value, span);
        }
        let to = self.target(target)?;
        match (to, operator) {
            (Target::Integer(to, of), None) => {
                let (value, _) = self.number(value)?;
                Some(Value::Number(Integer::Set(to, Box::new(value)), of))
            }
            (Target::Integer(IntegerTarget::Shared(slot), of), Some(Binary::Other(operator))) => {
                let (by, _) = self.number(value)?;
                let (by, place) = (Box::new(by), self.place(span));
                Some(Value::Number(Integer::Update(slot, operator, by, place), of))
            }
            (Target::Integer(to, of), Some(Binary::Other(operator))) => {
                let before = (Integer::Get(to), of.clone());
                let by = self.number(value)?;
                let after = self.arithmetic(operator, before, by, span)?;
                let (after, _) = self.as_number(after, span)?;
                Some(Value::Number(Integer::Set(to, Box::new(after)), of))
            }
            (Target::Str(to), None) => {
                let value = self.text(value)?;
                Some(Value::Text(Str::Set(to, Box::new(value))))
            }
            (Target::Str(to), Some(Binary::Other(Operator::Add))) => {
                let value = self.text(value)?;
                let both = Str::Concatenate(vec![Str::Get(to), value]);
                Some(Value::Text(Str::Set(to, Box::new(both))))
            }
            (_, Some(operator)) => {
                let problem = format!("this has no operator {}=", operator.sign());
                self.wrong(span, problem, "expected = or +=")
            }
        }
    }

    /// `x++` and similar.
    fn bump(&mut self, target: &Expression, up: bool, before: bool, span: Span) -> Option<Value> {
        if let Some((of, keys)) = self.keyed(target) {
            return self.count(of, keys, up, span);
        }
        let Target::Integer(to, of) = self.target(target)? else {
            return self.wrong(target.span, "this is a string", "expected an integer");
        };
        let (add, back) = (Operator::Add, Operator::Subtract);
        let (operator, inverse) = if up { (add, back) } else { (back, add) };
        let one = |of: Type| (Integer::Constant(1), of);
        let set = if let IntegerTarget::Shared(slot) = to {
            let place = self.place(span);
            Integer::Update(slot, operator, Box::new(Integer::Constant(1)), place)
        } else {
            let after =
                self.arithmetic(operator, (Integer::Get(to), of.clone()), one(Type::NUMBER), span)?;
            let (after, _) = self.as_number(after, span)?;
            Integer::Set(to, Box::new(after))
        };
        if before {
            return Some(Value::Number(set, of));
        }
        // The old value is the new value with the change undone.
        self.arithmetic(inverse, (set, of), one(Type::NUMBER), span)
    }

    /// Checks an expression that is used as a statement.
    pub(super) fn evaluate(&mut self, expression: &Expression) -> Option<Vec<Statement>> {
        // `a <- v`, where `a` is an aggregate without keys, is parsed as the comparison `a < -v`,
        // which would have no effect as a statement.
        if let Kind::Binary(Binary::Other(Operator::Less), of, value) = &expression.kind
            && let Kind::Unary(Unary::Negate, value) = &value.kind
            && self.is_aggregate(of)
        {
            return self.update(of, &[], value, expression.span).map(Self::dropped);
        }
        // The value is not used, so `x++` can be replaced by `++x`, which is faster.
        if let Kind::Bump { target, up, before: false } = &expression.kind {
            let value = self.bump(target, *up, true, expression.span)?;
            return Some(Self::dropped(value));
        }
        self.value(expression).map(Self::dropped)
    }
}
