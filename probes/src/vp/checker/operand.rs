//! What stands in the places of a form: values of a type, names, strings.

use crate::diagnostic::Diagnostic;
use crate::ir::{Expression, Integer, Str};
use crate::source::Span;
use crate::suggest::nearest;
use crate::text::Text;
use crate::variable::{self, Builtin};

use super::super::parser::looks_like_number;
use super::super::tree::{Literal, Node, NodeKind};
use super::super::vocabulary;
use super::expression::Use;
use super::{Call, Checker, Slot};

impl Checker {
    /// An expression that must be an integer.
    pub(super) fn integer(&mut self, node: &Node) -> Option<Integer> {
        match self.expression(node, Use::Taken)? {
            Expression::Integer(integer) => Some(integer),
            Expression::Str(_) => {
                self.fail(Diagnostic::error(node.span, "this is a string", "expected an integer"))
            }
        }
    }

    /// An expression that must be a string.
    pub(super) fn string(&mut self, node: &Node) -> Option<Str> {
        match self.expression(node, Use::Taken)? {
            Expression::Str(string) => Some(string),
            Expression::Integer(_) => {
                self.fail(Diagnostic::error(node.span, "this is an integer", "expected a string"))
            }
        }
    }

    /// At least so many integers.
    pub(super) fn integers(&mut self, call: &Call, least: usize) -> Option<Vec<Integer>> {
        if call.arguments.len() < least {
            return self
                .arity(call, if least == 1 { "an integer" } else { "two integers or more" });
        }
        let integers: Vec<_> = call.arguments.iter().map(|node| self.integer(node)).collect();
        integers.into_iter().collect()
    }

    /// Exactly one integer.
    pub(super) fn single(&mut self, call: &Call) -> Option<Box<Integer>> {
        let [operand] = call.arguments else { return self.arity(call, "one integer") };
        self.integer(operand).map(Box::new)
    }

    /// The variable that something is assigned to.
    pub(super) fn target(&mut self, node: &Node, expected: &str) -> Option<Slot> {
        let label = format!("expected {expected}");
        let NodeKind::Word(name) = &node.kind else {
            return self.fail(Diagnostic::error(node.span, "this can't be assigned to", label));
        };
        if let Some(variable) = self.variables.get(name) {
            return Some(variable.slot);
        }
        if variable::find(name).is_some() {
            let problem = format!("{name} is built in and can't be assigned to");
            return self.fail(Diagnostic::error(node.span, problem, label));
        }
        let near = nearest(name, self.variables.keys().map(String::as_str)).map(str::to_owned);
        self.unknown(name, node.span, &label, near.as_deref())
    }

    /// A name as a value.
    pub(super) fn name(&mut self, name: &str, span: Span) -> Option<Expression> {
        match self.variables.get(name).map(|variable| variable.slot) {
            Some(Slot::Integer(slot)) => return Some(Expression::Integer(Integer::Variable(slot))),
            Some(Slot::Str(slot)) => return Some(Expression::Str(Str::Variable(slot))),
            None => {}
        }
        match variable::find(name) {
            Some(Builtin::Integer(variable)) => {
                let place = self.place(span);
                return Some(Expression::Integer(Integer::Builtin(variable, place)));
            }
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

    /// Nobody has defined it. Each name is reported once.
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
            self.report(diagnostic);
        }
        None
    }

    /// The wrong number of arguments.
    pub(super) fn arity<T>(&mut self, call: &Call, expected: &str) -> Option<T> {
        let problem = match call.arguments.len() {
            0 => format!("{} has no arguments", call.name),
            1 => format!("{} has 1 argument", call.name),
            count => format!("{} has {count} arguments", call.name),
        };
        self.fail(Diagnostic::error(call.span, problem, format!("expected {expected}")))
    }

    /// A literal as a value.
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
