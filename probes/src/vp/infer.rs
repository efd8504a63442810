//! Infers the types of functions' parameters and results from their uses.

use std::collections::BTreeMap;

use super::declared::{FunctionForm, Slot, Variable};
use super::tree::{Node, NodeKind};
use crate::destructive::DestructiveAction;
use crate::format::{self, Part};
use crate::front::vocabulary::{self, Head, Value};
use crate::infer::{Types, Unknown};
use crate::ir::Type;
use crate::variable::{self, Builtin};

/// The types of a function's parameters and of its result.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) parameters: Vec<Type>,
    pub(super) result: Type,
}

/// Infers the signature of each function. A type about which nothing is known becomes an integer.
pub(super) fn signatures(
    functions: &[FunctionForm],
    probes: &[&[Node]],
    variables: &BTreeMap<String, Variable>,
) -> Vec<Signature> {
    let mut types = Types::new();
    let open: Vec<(Vec<Unknown>, Unknown)> = functions
        .iter()
        .map(|function| {
            let parameters = function.parameters.iter().map(|_| types.open()).collect();
            (parameters, types.open())
        })
        .collect();
    let mut walk = Walk { types, functions, open: &open, variables, current: None };
    for (index, function) in functions.iter().enumerate() {
        walk.current = Some(index);
        let result = walk.body(function.body);
        if let Some((_, known)) = open.get(index) {
            walk.types.same(*known, result);
        }
    }
    walk.current = None;
    for body in probes {
        walk.body(body);
    }
    let mut types = walk.types;
    let mut known = |unknown: Unknown| types.known(unknown).unwrap_or(Type::Integer);
    open.iter()
        .map(|(parameters, result)| Signature {
            parameters: parameters.iter().map(|parameter| known(*parameter)).collect(),
            result: known(*result),
        })
        .collect()
}

struct Walk<'a> {
    types: Types,
    functions: &'a [FunctionForm<'a>],
    open: &'a [(Vec<Unknown>, Unknown)],
    variables: &'a BTreeMap<String, Variable>,
    current: Option<usize>,
}

impl Walk<'_> {
    /// The type of a body is that of its last expression; the other values are dropped.
    fn body(&mut self, body: &[Node]) -> Unknown {
        let Some((last, before)) = body.split_last() else { return self.types.open() };
        for node in before {
            self.node(node, false);
        }
        self.node(last, true)
    }

    fn integer(&mut self, node: &Node) {
        let unknown = self.node(node, true);
        self.types.same(unknown, Types::INTEGER);
    }

    fn string(&mut self, node: &Node) {
        let unknown = self.node(node, true);
        self.types.same(unknown, Types::STR);
    }

    fn integers(&mut self, nodes: &[Node]) -> Unknown {
        for node in nodes {
            self.integer(node);
        }
        Types::INTEGER
    }

    fn node(&mut self, node: &Node, taken: bool) -> Unknown {
        match &node.kind {
            NodeKind::Integer(_) => Types::INTEGER,
            NodeKind::Literal(_) => Types::STR,
            NodeKind::Word(name) => self.name(name),
            NodeKind::List(list) => match list.as_slice() {
                [Node { kind: NodeKind::Word(head), .. }, arguments @ ..] => {
                    self.call(head, arguments, taken)
                }
                _ => self.types.open(),
            },
        }
    }

    fn name(&mut self, name: &str) -> Unknown {
        if let Some(index) = self.current
            && let Some(function) = self.functions.get(index)
            && let Some(at) = function.parameters.iter().position(|(known, _)| *known == name)
            && let Some((parameters, _)) = self.open.get(index)
            && let Some(unknown) = parameters.get(at)
        {
            return *unknown;
        }
        match self.variables.get(name).map(|variable| variable.slot) {
            Some(Slot::Integer(_)) => return Types::INTEGER,
            Some(Slot::Str(_)) => return Types::STR,
            _ => {}
        }
        match variable::find(name) {
            Some(Builtin::Integer(_) | Builtin::Constant(_)) => Types::INTEGER,
            Some(Builtin::ProbeName | Builtin::ExitName) => Types::STR,
            Some(Builtin::Missing(_)) | None => self.types.open(),
        }
    }

    fn call(&mut self, head: &str, arguments: &[Node], taken: bool) -> Unknown {
        if let Some(Slot::Function(slot)) = self.variables.get(head).map(|v| v.slot)
            && let Some((parameters, result)) = self.open.get(slot.0)
        {
            for (argument, parameter) in arguments.iter().zip(parameters) {
                let unknown = self.node(argument, true);
                self.types.same(unknown, *parameter);
            }
            return *result;
        }
        let Some(Head::Value(value)) = vocabulary::head(head) else { return self.types.open() };
        match value {
            Value::Do => self.body(arguments),
            Value::Cond => self.cond(arguments, taken),
            Value::SetStr => {
                for node in arguments {
                    self.string(node);
                }
                Types::STR
            }
            Value::LogStr | Value::Strcmp | Value::Destructive(DestructiveAction::Dump) => {
                for node in arguments {
                    self.string(node);
                }
                Types::INTEGER
            }
            Value::Printf => self.formatted(arguments),
            Value::Assert => match arguments {
                [condition, rest @ ..] => {
                    self.integer(condition);
                    self.formatted(rest)
                }
                [] => Types::INTEGER,
            },
            Value::Sprintf | Value::GuestStack | Value::GetGuestStr | Value::GetGuestPhysStr => {
                let [target, rest @ ..] = arguments else { return Types::INTEGER };
                self.string(target);
                match value {
                    Value::Sprintf => self.formatted(rest),
                    _ => self.addresses(rest),
                }
            }
            Value::SymName => {
                self.integers(arguments);
                Types::STR
            }
            Value::CurProcName => Types::STR,
            Value::Aggr => {
                let [_, integers, strings, rest @ ..] = arguments else { return Types::INTEGER };
                if let NodeKind::List(keys) = &integers.kind {
                    self.integers(keys);
                }
                if let NodeKind::List(keys) = &strings.kind {
                    for key in keys {
                        self.string(key);
                    }
                }
                self.integers(rest)
            }
            Value::LogAggr | Value::ClearAggr => Types::INTEGER,
            Value::BagInsert | Value::BagRemove => {
                self.integers(arguments.get(1..).unwrap_or_default())
            }
            _ => self.addresses(arguments),
        }
    }

    /// Arguments that are integers, except for symbols, which are literals.
    fn addresses(&mut self, arguments: &[Node]) -> Unknown {
        for argument in arguments {
            if !matches!(argument.kind, NodeKind::Literal(_)) {
                self.integer(argument);
            }
        }
        Types::INTEGER
    }

    fn cond(&mut self, arms: &[Node], taken: bool) -> Unknown {
        let all = self.types.open();
        for arm in arms {
            let NodeKind::List(arm) = &arm.kind else { continue };
            let [condition, value] = arm.as_slice() else { continue };
            self.integer(condition);
            let value = self.node(value, taken);
            if taken {
                self.types.same(all, value);
            }
        }
        all
    }

    fn formatted(&mut self, arguments: &[Node]) -> Unknown {
        let [Node { kind: NodeKind::Literal(literal), .. }, arguments @ ..] = arguments else {
            return Types::INTEGER;
        };
        let conversions = format::parse(&literal.value).unwrap_or_default();
        let conversions = conversions.into_iter().filter_map(|part| match part {
            Part::Argument(conversion, _) => Some(conversion.takes_text()),
            Part::Literal(_) => None,
        });
        for (text, argument) in conversions.zip(arguments) {
            if text {
                self.string(argument);
            } else {
                self.integer(argument);
            }
        }
        Types::INTEGER
    }
}
