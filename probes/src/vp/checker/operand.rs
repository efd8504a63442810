//! Checks the operands of forms: values of a certain type, names, and strings.

use inspect::suggest::nearest;

use crate::diagnostic::Diagnostic;
use crate::ir::{Expression, Integer, IntegerTarget, Str, StringTarget, Type};
use crate::source::{Literal, Span};
use crate::text::Text;
use crate::variable::{self, Builtin};

use super::super::parser::looks_like_number;
use super::super::tree::Node;
use super::expression::Use;
use super::{Call, Checker, Slot};
use crate::front::vocabulary;

impl Checker<'_> {
    /// Checks an expression that must be an integer.
    pub(super) fn integer(&mut self, node: &Node) -> Option<Integer> {
        match self.expression(node, Use::Taken)? {
            Expression::Integer(integer) => Some(integer),
            Expression::Str(_) => {
                self.fail(Diagnostic::error(node.span, "this is a string", "expected an integer"))
            }
        }
    }

    /// Checks an expression that must be a string.
    pub(super) fn string(&mut self, node: &Node) -> Option<Str> {
        match self.expression(node, Use::Taken)? {
            Expression::Str(string) => Some(string),
            Expression::Integer(_) => {
                self.fail(Diagnostic::error(node.span, "this is an integer", "expected a string"))
            }
        }
    }

    /// Checks that a call has at least this number of arguments, all of them integers.
    pub(super) fn integers(&mut self, call: &Call, least: usize) -> Option<Vec<Integer>> {
        if call.arguments.len() < least {
            return self
                .arity(call, if least == 1 { "an integer" } else { "two integers or more" });
        }
        let integers: Vec<_> = call.arguments.iter().map(|node| self.integer(node)).collect();
        integers.into_iter().collect()
    }

    /// Checks that a call has exactly one argument, an integer.
    pub(super) fn single(&mut self, call: &Call) -> Option<Box<Integer>> {
        let [operand] = call.arguments else { return self.arity(call, "one integer") };
        self.integer(operand).map(Box::new)
    }

    /// The parameter with this name.
    fn parameter(&self, name: &str) -> Option<(u32, Type)> {
        let at = self.parameters.iter().position(|(known, _)| known == name)?;
        self.parameters.get(at).map(|(_, known)| (at as u32, *known))
    }

    /// The integer variable or parameter with this name.
    pub(super) fn integer_named(&self, name: &str) -> Option<IntegerTarget> {
        match (self.parameter(name), self.variables.get(name).map(|variable| variable.slot)) {
            (Some((local, Type::Integer)), _) => Some(IntegerTarget::Local(local)),
            (None, Some(Slot::Integer(slot))) => Some(IntegerTarget::Variable(slot)),
            _ => None,
        }
    }

    /// The string variable or parameter with this name.
    pub(super) fn string_named(&self, name: &str) -> Option<StringTarget> {
        match (self.parameter(name), self.variables.get(name).map(|variable| variable.slot)) {
            (Some((local, Type::Str)), _) => Some(StringTarget::Parameter(local)),
            (None, Some(Slot::Str(slot))) => Some(StringTarget::Variable(slot)),
            _ => None,
        }
    }

    /// What a name of the script stands for, in words for messages.
    pub(super) fn what_is(&self, name: &str) -> Option<&'static str> {
        match self.parameter(name) {
            Some((_, Type::Integer)) => Some("an integer"),
            Some((_, Type::Str)) => Some("a string"),
            None => self.variables.get(name).map(|variable| variable.slot.describe()),
        }
    }

    /// Checks a name that is used as a value.
    pub(super) fn name(&mut self, name: &str, span: Span) -> Option<Expression> {
        if let Some(target) = self.integer_named(name) {
            return Some(Expression::Integer(Integer::Get(target)));
        }
        if let Some(target) = self.string_named(name) {
            return Some(Expression::Str(Str::Get(target)));
        }
        if let Some(what) = self.what_is(name) {
            let problem = format!("{name} is {what}, which has no value by itself");
            return self.fail(Diagnostic::error(span, problem, "expected a variable"));
        }
        match variable::value(name, self.scope.repeatable) {
            Some(Builtin::Integer(variable)) => {
                let place = self.place(span);
                return Some(Expression::Integer(Integer::Builtin(variable, place)));
            }
            Some(Builtin::Constant(value)) => {
                return Some(Expression::Integer(Integer::Constant(value)));
            }
            Some(Builtin::ExitName) => return Some(Expression::Str(Str::ExitName)),
            Some(Builtin::ProbeName) => return Some(Expression::Str(Str::ProbeName)),
            Some(Builtin::Missing(reason)) => {
                let problem = format!("variable {name} is not available: {reason}");
                return self.fail(Diagnostic::error(span, problem, "not available"));
            }
            None => {}
        }
        if looks_like_number(name) {
            return self.fail(Diagnostic::error(
                span,
                format!("{name} is no number"),
                "expected a 64-bit integer, decimal or with 0x",
            ));
        }
        if vocabulary::head(name).is_some() {
            let problem = format!("{name} is no variable");
            return self.fail(
                Diagnostic::error(span, problem, "expected a value")
                    .with_help(format!("write ({name} ...) to use it")),
            );
        }
        let mut known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
        for name in variable::names() {
            known.push(name);
        }
        let near = nearest(name, known).map(str::to_owned);
        self.unknown(name, span, "expected a variable", near.as_deref())
    }

    /// Reports a name that is not defined anywhere. Each name is reported once.
    pub(super) fn unknown<T>(
        &mut self,
        name: &str,
        span: Span,
        label: &str,
        near: Option<&str>,
    ) -> Option<T> {
        let problem = format!("unknown ident {name}");
        let diagnostic = Diagnostic::error(span, problem, label).suggesting(near);
        if self.reported.insert(name.to_owned()) {
            self.problems.report(diagnostic);
        }
        None
    }

    /// Reports a wrong number of arguments.
    pub(super) fn arity<T>(&mut self, call: &Call, expected: &str) -> Option<T> {
        let problem = match call.arguments.len() {
            0 => format!("{} has no arguments", call.name),
            1 => format!("{} has 1 argument", call.name),
            count => format!("{} has {count} arguments", call.name),
        };
        self.fail(Diagnostic::error(call.span, problem, format!("expected {expected}")))
    }

    /// Checks the length of a string literal.
    pub(super) fn text(&mut self, literal: &Literal, span: Span) -> Option<Text> {
        if literal.value.len() > Text::MAX {
            return self.fail(Diagnostic::error(
                span,
                format!("this string has {} bytes", literal.value.len()),
                format!("a string has at most {} bytes", Text::MAX),
            ));
        }
        Some(Text::from(literal.value.as_bytes()))
    }
}
