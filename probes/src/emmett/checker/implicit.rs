//! Declares names that the script uses without a declaration: variables that are assigned to, and
//! aggregates that are added to.
//!
//! The bodies are visited repeatedly, until no further name gets a type from what is assigned to
//! it: `q = p; p = (struct t *)x;` makes `p` a pointer in the first round and `q` in the second.
//! Names that still have no type become integers.

use super::super::tree::{Binary, Declaration, Expression, Kind, Statement, TypeName};
use super::super::types::{Model, Type};
use super::declare::Body;
use super::{Checker, Entity, Local};
use crate::ir::{Frame, Operator, StringTarget};
use crate::source::Span;
use crate::variable::{self, Builtin};

/// The most rounds. Names that have no type afterwards become integers.
const MAX_ROUNDS: usize = 8;

/// The result of a round.
#[derive(Default)]
struct Round {
    /// Whether a name has got its type.
    has_progress: bool,
    /// Names that are assigned to and have no type yet.
    pending: Vec<(String, Span)>,
}

impl Checker<'_> {
    pub(super) fn declare_implicitly(&mut self, bodies: &[Body]) {
        let outer = self.model;
        for round in 0..MAX_ROUNDS {
            let mut found = Round::default();
            for body in bodies {
                self.visit_body(body, &mut found);
            }
            if found.has_progress && round + 1 < MAX_ROUNDS {
                continue;
            }
            if found.pending.is_empty() {
                break;
            }
            for (name, span) in found.pending {
                self.declare_implicit(&name, span, Type::NUMBER);
            }
        }
        self.model = outer;
    }

    fn visit_body(&mut self, body: &Body, found: &mut Round) {
        self.locals.clear();
        self.frame = Frame::default();
        let mark = self.problems.mark();
        match body {
            Body::Function(function, model) => {
                self.model = *model;
                self.bind_parameters(function);
                for statement in function.body.as_deref().unwrap_or_default() {
                    self.visit(statement, found);
                }
            }
            Body::Probe(probe, model) => {
                self.model = *model;
                self.bind_arguments(&probe.parameters);
                if let Some(predicate) = &probe.predicate {
                    self.seek(predicate, found);
                }
                self.visit(&probe.body, found);
            }
        }
        self.locals.clear();
        // Errors are reported when the body is checked.
        self.problems.go_back(mark);
    }

    fn visit(&mut self, statement: &Statement, found: &mut Round) {
        match statement {
            Statement::Nothing | Statement::Break(_) | Statement::Continue(_) => {}
            Statement::Block(statements) => self.in_block(|checker| {
                for statement in statements {
                    checker.visit(statement, found);
                }
            }),
            Statement::Declaration(declaration) => self.visit_declaration(declaration, found),
            Statement::Expression(expression) => self.seek(expression, found),
            Statement::If(condition, yes, no) => {
                self.seek(condition, found);
                self.in_block(|checker| checker.visit(yes, found));
                if let Some(no) = no {
                    self.in_block(|checker| checker.visit(no, found));
                }
            }
            Statement::For { start, condition, step, body } => self.in_block(|checker| {
                if let Some(start) = start {
                    checker.visit(start, found);
                }
                for expression in condition.iter().chain(step) {
                    checker.seek(expression, found);
                }
                checker.in_block(|checker| checker.visit(body, found));
            }),
            Statement::Try(body, handler) => {
                self.in_block(|checker| checker.visit(body, found));
                self.in_block(|checker| checker.visit(handler, found));
            }
            Statement::Return(value, _) => {
                if let Some(value) = value {
                    self.seek(value, found);
                }
            }
        }
    }

    fn visit_declaration(&mut self, declaration: &Declaration, found: &mut Round) {
        // Structures and enumerations are defined when the body is checked, and not here.
        let base = match &declaration.base {
            TypeName::Record { fields: Some(_), .. } | TypeName::Enumeration(Some(_)) => None,
            base => self.base(base),
        };
        for name in &declaration.names {
            if let Some(value) = &name.value {
                self.seek(value, found);
            }
            let of = base.as_ref().and_then(|base| self.type_of_name(base, name));
            let local = match of {
                Some(Type::Str) => Local::Str(StringTarget::Local(0)),
                Some(of) => Local::Integer(0, of),
                None => Local::Integer(0, Type::NUMBER),
            };
            self.bind(&name.name, local);
        }
    }

    /// Looks for assignments in an expression.
    fn seek(&mut self, expression: &Expression, found: &mut Round) {
        match &expression.kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Name(_) | Kind::SizeOfType(_) => {}
            Kind::Unary(_, a) | Kind::Load(a) | Kind::Address(a) | Kind::Cast(_, a) => {
                self.seek(a, found);
            }
            Kind::SizeOf(a) | Kind::Member { of: a, .. } => self.seek(a, found),
            Kind::Binary(_, a, b) => {
                self.seek(a, found);
                self.seek(b, found);
            }
            Kind::Conditional(parts) => parts.iter().for_each(|part| self.seek(part, found)),
            Kind::Assign(_, target, value) | Kind::Insert(target, value) => {
                self.seek(value, found);
                let of = self.type_of(value);
                self.assigned(target, of, found);
            }
            Kind::Bump { target, .. } => self.assigned(target, Some(Type::NUMBER), found),
            Kind::Index(of, keys) => {
                self.seek(of, found);
                for key in keys {
                    self.seek(key, found);
                }
            }
            Kind::Call(name, _, arguments) => {
                for argument in arguments {
                    self.seek(argument, found);
                }
                // These functions assign to their first argument.
                if matches!(
                    name.as_str(),
                    "sprintf" | "getgueststr" | "getguestphysstr" | "gueststack"
                ) && !self.signatures.contains_key(name)
                    && let Some(target) = arguments.first()
                {
                    self.assigned(target, Some(Type::Str), found);
                }
            }
        }
    }

    fn assigned(&mut self, target: &Expression, of: Option<Type>, found: &mut Round) {
        match &target.kind {
            Kind::Name(name) if self.is_free(name) => match of {
                Some(of) => {
                    self.declare_implicit(name, target.span, of);
                    found.has_progress = true;
                }
                None => found.pending.push((name.clone(), target.span)),
            },
            Kind::Index(of, keys) => {
                for key in keys {
                    self.seek(key, found);
                }
                let Kind::Name(name) = &of.kind else { return };
                if !self.is_free(name) {
                    return;
                }
                let (mut integers, mut strings) = (0, 0);
                for key in keys {
                    let is_stack =
                        matches!(&key.kind, Kind::Call(name, ..) if name == "gueststack");
                    match self.type_of(key) {
                        _ if is_stack => strings += 1,
                        Some(Type::Str) => strings += 1,
                        _ => integers += 1,
                    }
                }
                self.define_aggregate(name, of.span, (integers, strings));
                found.has_progress = true;
            }
            _ => {}
        }
    }

    /// The type of an expression, as far as it is known. Reports no errors.
    pub(super) fn type_of(&mut self, expression: &Expression) -> Option<Type> {
        match &expression.kind {
            Kind::Text(_) => Some(Type::Str),
            Kind::Name(name) => self.type_of_variable(name),
            Kind::Load(pointer) => self.behind_type(pointer).map(|(of, _)| of),
            Kind::Address(of) => {
                let of = self.type_of(of).unwrap_or(Type::Void);
                Some(Type::Pointer(Box::new(of), self.model))
            }
            Kind::Binary(Binary::Other(Operator::Add | Operator::Subtract), a, b) => {
                match (self.type_of(a), self.type_of(b)) {
                    (Some(Type::Str), _) | (_, Some(Type::Str)) => Some(Type::Str),
                    (Some(Type::Pointer(..)), Some(Type::Pointer(..))) => Some(Type::NUMBER),
                    (Some(of @ Type::Pointer(..)), _) | (_, Some(of @ Type::Pointer(..))) => {
                        Some(of)
                    }
                    (None, None) => None,
                    _ => Some(Type::NUMBER),
                }
            }
            Kind::Number(_)
            | Kind::Unary(..)
            | Kind::Binary(..)
            | Kind::Insert(..)
            | Kind::SizeOfType(_)
            | Kind::SizeOf(_) => Some(Type::NUMBER),
            Kind::Conditional(parts) => {
                let [_, yes, no] = &**parts;
                self.type_of(yes).or_else(|| self.type_of(no))
            }
            Kind::Assign(_, target, value) => self.type_of(target).or_else(|| self.type_of(value)),
            Kind::Bump { target, .. } => self.type_of(target),
            Kind::Index(of, _) => match &of.kind {
                Kind::Name(name)
                    if matches!(self.entity(name), Some(Entity::Aggregate(_) | Entity::Bag(_))) =>
                {
                    Some(Type::NUMBER)
                }
                _ => self.behind_type(of).map(|(of, _)| of),
            },
            Kind::Member { of, field, arrow } => {
                let record = match arrow {
                    true => self.behind_type(of)?.0,
                    false => self.type_of(of)?,
                };
                let Type::Record(record) = record else { return None };
                self.records.field(record, field).map(|field| field.of)
            }
            Kind::Call(name, ..) => Some(self.type_of_call(name)),
            Kind::Cast(to, _) => self.parameter(to),
        }
    }

    fn type_of_variable(&self, name: &str) -> Option<Type> {
        match self.local(name) {
            Some(Local::Integer(_, of) | Local::Argument(_, of)) => return Some(of),
            Some(Local::Str(_)) => return Some(Type::Str),
            None => {}
        }
        match self.entity(name) {
            Some(Entity::Integer(_, of)) => return Some(of),
            Some(Entity::Str(_)) => return Some(Type::Str),
            Some(Entity::Constant(_)) => return Some(Type::NUMBER),
            _ => {}
        }
        match variable::find(name)? {
            Builtin::Integer(_) | Builtin::Constant(_) => Some(Type::NUMBER),
            Builtin::ProbeName | Builtin::ExitName => Some(Type::Str),
            Builtin::Missing(_) => None,
        }
    }

    fn behind_type(&mut self, pointer: &Expression) -> Option<(Type, Model)> {
        match self.type_of(pointer)? {
            Type::Pointer(of, model) => Some((*of, model)),
            Type::Array(of, _) => Some((*of, self.model)),
            _ => None,
        }
    }

    fn type_of_call(&self, name: &str) -> Type {
        if let Some(signature) = self.signatures.get(name) {
            return signature.result.clone();
        }
        match name {
            "gueststack" | "symname" | "curprocname" | "excname" | "excdesc" => Type::Str,
            _ => Type::NUMBER,
        }
    }
}
