//! Checks calls of functions.

use inspect::suggest::nearest;

use super::super::tree::{Expression, Kind};
use super::super::types::Type;
use super::value::Value;
use super::{Checker, Entity, Local};
use crate::diagnostic::Diagnostic;
use crate::front::foreign;
use crate::front::vocabulary::{self, Head};
use crate::ir::{Argument, FunctionSlot, Integer, Statement, Str, StringTarget};
use crate::source::Span;

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        name: &str,
        head: Span,
        arguments: &[Expression],
        span: Span,
    ) -> Option<Value> {
        match self.entity(name) {
            Some(Entity::Function(slot)) => return self.call_function(name, slot, arguments, span),
            Some(other) => {
                let problem = format!("{name} is {}, so it can't be called", other.describe());
                return self.wrong(head, problem, "expected a function");
            }
            None => {}
        }
        if self.signatures.contains_key(name) {
            let problem = format!("{name} has a prototype and no body");
            return self.wrong(head, problem, "expected a function that is defined in some script");
        }
        if super::builtin::is_builtin(name) {
            return self.builtin(name, arguments, span);
        }
        if let Some(Head::Never(reason)) = vocabulary::head(name) {
            let problem = format!("{name} is not available: {reason}");
            return self.wrong(head, problem, "not available");
        }
        if !self.reported.insert(name.to_owned()) {
            return None;
        }
        let mut known: Vec<&str> = self.signatures.keys().map(String::as_str).collect();
        known.sort_unstable();
        for name in super::builtin::names() {
            known.push(name);
        }
        let near = nearest(name, known).map(str::to_owned);
        let problem = format!("unknown ident {name}");
        let error = Diagnostic::error(head, problem, "expected a function");
        self.fail(match foreign::name(name) {
            Some(here) => error.with_help(here),
            None => error.suggesting(near.as_deref()),
        })
    }

    fn call_function(
        &mut self,
        name: &str,
        slot: FunctionSlot,
        arguments: &[Expression],
        span: Span,
    ) -> Option<Value> {
        let signature = self.signatures.get(name).cloned()?;
        let wanted = signature.parameters.len();
        if arguments.len() != wanted {
            let problem =
                format!("{name} takes {wanted} arguments, and {} are given", arguments.len());
            return self.wrong(span, problem, "expected as many as it has parameters");
        }
        let pairs = arguments.iter().zip(&signature.parameters);
        let arguments: Vec<_> =
            pairs.map(|(argument, parameter)| self.argument(argument, parameter)).collect();
        let arguments = arguments.into_iter().collect::<Option<Vec<_>>>()?;
        let place = self.place(span);
        Some(match signature.result {
            Type::Str => Value::Text(Str::Call(slot, arguments, place)),
            Type::Void => Value::Nothing(vec![Statement::Evaluate(
                crate::ir::Expression::Integer(Integer::Call(slot, arguments, place)),
            )]),
            of => Value::Number(Integer::Call(slot, arguments, place), of),
        })
    }

    /// A string variable is passed by reference, so that the function can assign to it.
    fn argument(&mut self, argument: &Expression, parameter: &Type) -> Option<Argument> {
        if *parameter != Type::Str {
            return self.integer(argument).map(Argument::Integer);
        }
        if let Kind::Name(name) = &argument.kind
            && let Some(target) = self.string_named(name)
        {
            return Some(Argument::Reference(target));
        }
        self.text(argument).map(Argument::Value)
    }

    /// The string variable or local with this name.
    pub(super) fn string_named(&self, name: &str) -> Option<StringTarget> {
        match (self.local(name), self.entity(name)) {
            (Some(Local::Str(target)), _) => Some(target),
            (None, Some(Entity::Str(slot))) => Some(StringTarget::Variable(slot)),
            _ => None,
        }
    }
}
