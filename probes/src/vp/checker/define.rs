//! Checks definitions of names.

use crate::aggregate::{Kind, Shape};
use crate::bag::Bag;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, AggregateSlot, BagSlot, FunctionSlot, IntegerSlot, StringSlot};
use crate::source::Span;
use crate::text::Text;
use crate::variable;

use super::super::parser::looks_like_number;
use super::super::tree::{Node, NodeKind};
use super::{Call, Checker, FunctionForm, Slot, Variable, describe};
use crate::front::vocabulary;

/// The most names of one kind. Each vCPU has a copy of each string.
const MAX_NAMES: usize = 4096;
/// The most aggregates, and also the most bags.
const MAX_TABLES: usize = 256;
/// The most parameters of a function.
const MAX_PARAMETERS: usize = 32;

impl Checker<'_> {
    pub(super) fn define_integer<T>(&mut self, call: &Call) -> Option<T> {
        const EXPECTED: &str = "expected (definteger NAME) or (definteger NAME NUMBER)";
        let (name, value) = match call.arguments {
            [name] => (name, 0),
            [name, Node { kind: NodeKind::Integer(value), .. }] => (name, *value),
            [_, other] => {
                return self.fail(Diagnostic::error(
                    other.span,
                    format!("an integer can't begin as {}", describe(other)),
                    "expected a number",
                ));
            }
            _ => return self.fail(Diagnostic::error(call.span, "bad definition", EXPECTED)),
        };
        let slot = Slot::Integer(IntegerSlot(self.program.integers.len()));
        self.room(call, self.program.integers.len(), MAX_NAMES)?;
        let set = self.define(name, slot).map(|name| self.settings.integer(&name, call.span))?;
        match set {
            Ok(set) => self.program.integers.push(set.unwrap_or(value)),
            Err(refused) => return self.fail(*refused),
        }
        None
    }

    pub(super) fn define_string<T>(&mut self, call: &Call) -> Option<T> {
        const EXPECTED: &str = "expected (defstring NAME) or (defstring NAME \"TEXT\")";
        let (name, value) = match call.arguments {
            [name] => (name, Text::default()),
            [name, Node { kind: NodeKind::Literal(literal), span }] => {
                (name, self.text(literal, *span)?)
            }
            [_, other] => {
                return self.fail(Diagnostic::error(
                    other.span,
                    format!("a string can't begin as {}", describe(other)),
                    "expected a string in double quotes",
                ));
            }
            _ => return self.fail(Diagnostic::error(call.span, "bad definition", EXPECTED)),
        };
        let slot = Slot::Str(StringSlot(self.program.strings.len()));
        self.room(call, self.program.strings.len(), MAX_NAMES)?;
        let set = self.define(name, slot).map(|name| self.settings.text(&name, call.span))?;
        match set {
            Ok(set) => self.program.strings.push(set.unwrap_or(value)),
            Err(refused) => return self.fail(*refused),
        }
        None
    }

    pub(super) fn define_aggregate<T>(&mut self, call: &Call) -> Option<T> {
        const EXPECTED: &str = "expected (defaggr NAME INTEGER-KEYS STRING-KEYS)";
        let [name, integers, strings, rest @ ..] = call.arguments else {
            return self.fail(Diagnostic::error(call.span, "bad definition", EXPECTED));
        };
        self.is_shared(call, rest, EXPECTED)?;
        let integers = self.count(integers, 0, Shape::MAX_KEYS as u64, "keys")? as usize;
        let strings = self.count(strings, 0, Shape::MAX_KEYS as u64, "keys")? as usize;
        let number = self.program.aggregates.len();
        self.room(call, number, MAX_TABLES)?;
        let name = self.define(name, Slot::Aggregate(AggregateSlot(number)))?;
        let kind = Kind::Classic;
        self.program.aggregates.push(Shape { name, integers, strings, stack: None, kind });
        None
    }

    pub(super) fn define_bag<T>(&mut self, call: &Call) -> Option<T> {
        const EXPECTED: &str = "expected (defbag NAME SIZE)";
        let [name, size, rest @ ..] = call.arguments else {
            return self.fail(Diagnostic::error(call.span, "bad definition", EXPECTED));
        };
        self.is_shared(call, rest, EXPECTED)?;
        let capacity = self.count(size, 1, Bag::MAX_CAPACITY, "pairs")? as usize;
        let number = self.program.bags.len();
        self.room(call, number, MAX_TABLES)?;
        let name = self.define(name, Slot::Bag(BagSlot(number)))?;
        self.program.bags.push(ir::Bag { name, capacity });
        None
    }

    /// Checks the optional last argument, which says whether other domains share the name. It has
    /// no effect, because there is only one domain.
    fn is_shared(&mut self, call: &Call, rest: &[Node], expected: &str) -> Option<()> {
        match rest {
            [] | [Node { kind: NodeKind::Integer(0 | 1), .. }] => Some(()),
            _ => self.fail(Diagnostic::error(call.span, "bad definition", expected)),
        }
    }

    fn count(&mut self, node: &Node, least: u64, most: u64, what: &str) -> Option<u64> {
        match node.kind {
            NodeKind::Integer(count) if (least..=most).contains(&count) => Some(count),
            _ => self.fail(Diagnostic::error(
                node.span,
                format!("this is no number of {what}"),
                format!("expected a number from {least} to {most}"),
            )),
        }
    }

    fn room(&mut self, call: &Call, number: usize, most: usize) -> Option<()> {
        if number < most {
            return Some(());
        }
        let problem = format!("there are more than {most} of {}", call.name);
        self.fail(Diagnostic::error(call.span, problem, "this one is too many"))
    }

    pub(super) fn define_function<'b>(&mut self, call: &Call<'b>) -> Option<FunctionForm<'b>> {
        const EXPECTED: &str = "expected (defun NAME (PARAMETER ...) expression ...)";
        let [name, Node { kind: NodeKind::List(parameters), span }, body @ ..] = call.arguments
        else {
            return self.fail(Diagnostic::error(call.span, "bad definition", EXPECTED));
        };
        if body.is_empty() {
            return self.fail(Diagnostic::error(call.span, "this function does nothing", EXPECTED));
        }
        if parameters.len() > MAX_PARAMETERS {
            let problem = format!("this function has {} parameters", parameters.len());
            let label = format!("expected at most {MAX_PARAMETERS}");
            return self.fail(Diagnostic::error(*span, problem, label));
        }
        let mut names: Vec<(&str, Span)> = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let name = self.new_name(parameter)?;
            if let Some((_, first)) = names.iter().find(|(known, _)| *known == name) {
                let problem = format!("{name} is there twice");
                let first = *first;
                return self.fail(
                    Diagnostic::error(parameter.span, problem, "here again")
                        .with_related(first, "first here"),
                );
            }
            names.push((name, parameter.span));
        }
        let functions = self.variables.values().map(|variable| variable.slot);
        let number = functions.filter(|slot| matches!(slot, Slot::Function(_))).count();
        self.room(call, number, MAX_NAMES)?;
        // Functions of scripts in other languages come first.
        let slot = FunctionSlot(self.program.functions.len() + number);
        self.define(name, Slot::Function(slot))?;
        let NodeKind::Word(name) = &name.kind else { return None };
        Some(FunctionForm { name, parameters: names, body })
    }

    /// A name that VP doesn't reserve.
    fn new_name<'b>(&mut self, node: &'b Node) -> Option<&'b str> {
        let name = match &node.kind {
            NodeKind::Word(name) if !looks_like_number(name) => name,
            _ => {
                let label = "expected a name";
                return self.fail(Diagnostic::error(node.span, "this can't be a name", label));
            }
        };
        if variable::is_reserved(name) {
            let problem = format!("{name} is a built-in variable");
            return self.fail(Diagnostic::error(node.span, problem, "expected another name"));
        }
        if vocabulary::is_reserved(name) {
            let problem = format!("{name} is a word of VP");
            return self.fail(Diagnostic::error(node.span, problem, "expected another name"));
        }
        Some(name)
    }

    fn define(&mut self, node: &Node, slot: Slot) -> Option<String> {
        let name = self.new_name(node)?;
        if let Some(first) = self.variables.get(name) {
            let first = first.span;
            return self.fail(
                Diagnostic::error(node.span, format!("{name} is defined twice"), "here again")
                    .with_related(first, "first here"),
            );
        }
        self.variables.insert(name.to_owned(), Variable { slot, span: node.span });
        Some(name.to_owned())
    }
}
