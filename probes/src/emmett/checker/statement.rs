//! Checks statements.

use super::super::tree::{Declaration, Expression, Statement as Tree, TypeName};
use super::super::types::Type;
use super::{Checker, Entity, Local};
use crate::ir::{self, Integer, Statement, Str, StringTarget};
use crate::text::Text;

impl Checker<'_> {
    /// Checks and lowers a statement. Errors are reported, and the faulty parts are left out.
    pub(super) fn statement(&mut self, statement: &Tree) -> Vec<Statement> {
        if self.problems.is_full() {
            return Vec::new();
        }
        match statement {
            Tree::Nothing => Vec::new(),
            Tree::Block(statements) => self.in_block(|checker| {
                statements.iter().flat_map(|statement| checker.statement(statement)).collect()
            }),
            Tree::Declaration(declaration) => self.local_declaration(declaration),
            Tree::Expression(expression) => self.evaluate(expression).unwrap_or_default(),
            Tree::If(condition, yes, no) => {
                let condition = self.integer(condition);
                let yes = self.in_block(|checker| checker.statement(yes));
                let no = self.in_block(|checker| {
                    no.as_ref().map(|no| checker.statement(no)).unwrap_or_default()
                });
                condition.map(|condition| Statement::If(condition, yes, no)).into_iter().collect()
            }
            Tree::For { start, condition, step, body } => self.in_block(|checker| {
                let mut all =
                    start.as_ref().map(|start| checker.statement(start)).unwrap_or_default();
                all.extend(checker.looped(condition.as_ref(), step.as_ref(), body));
                all
            }),
            Tree::Try(body, handler) => {
                let body = self.in_block(|checker| checker.statement(body));
                let handler = self.in_block(|checker| checker.statement(handler));
                vec![Statement::Try(body, handler)]
            }
            Tree::Return(value, span) => self.returned(value.as_ref(), *span).into_iter().collect(),
            Tree::Break(span) | Tree::Continue(span) if self.loops == 0 => {
                self.wrong::<()>(*span, "there is no loop around this", "expected a for");
                Vec::new()
            }
            Tree::Break(_) => vec![Statement::Break],
            Tree::Continue(_) => vec![Statement::Continue],
        }
    }

    fn looped(
        &mut self,
        condition: Option<&Expression>,
        step: Option<&Expression>,
        body: &Tree,
    ) -> Option<Statement> {
        let condition = match condition {
            Some(condition) => self.integer(condition),
            None => Some(Integer::Constant(1)),
        };
        let step = step.and_then(|step| self.evaluate(step)).unwrap_or_default();
        self.loops += 1;
        let body = self.in_block(|checker| checker.statement(body));
        self.loops -= 1;
        Some(Statement::Loop { condition: condition?, body, step })
    }

    fn returned(
        &mut self,
        value: Option<&Expression>,
        span: crate::source::Span,
    ) -> Option<Statement> {
        let zero = || ir::Expression::Integer(Integer::Constant(0));
        match (self.result.clone(), value) {
            (None, None) => Some(Statement::Return(None)),
            (None, Some(_)) => self.wrong(span, "a probe yields nothing", "expected return;"),
            (Some(Type::Void), None) => Some(Statement::Return(Some(zero()))),
            (Some(Type::Void), Some(_)) => {
                self.wrong(span, "this function yields nothing", "expected return;")
            }
            (Some(_), None) => {
                self.wrong(span, "this function yields a value", "expected return and a value")
            }
            (Some(Type::Str), Some(value)) => {
                self.text(value).map(|text| Statement::Return(Some(ir::Expression::Str(text))))
            }
            (Some(_), Some(value)) => self
                .integer(value)
                .map(|integer| Statement::Return(Some(ir::Expression::Integer(integer)))),
        }
    }

    /// Declares the variables of a block. They are initialised each time the block is entered, and
    /// each call has its own.
    fn local_declaration(&mut self, declaration: &Declaration) -> Vec<Statement> {
        if matches!(declaration.base, TypeName::Aggregate | TypeName::Bag) || declaration.is_typedef
        {
            let problem = "this must stand outside functions and probes";
            self.wrong::<()>(declaration.span, problem, "expected a variable");
            return Vec::new();
        }
        if let Some((word, span)) = &declaration.storage {
            let problem = format!("a variable of a block can't be {word}");
            self.wrong::<()>(*span, problem, "declare it outside, or leave this out");
            return Vec::new();
        }
        let Some(base) = self.base(&declaration.base) else { return Vec::new() };
        let mut statements = Vec::new();
        for name in &declaration.names {
            let Some(of) = self.type_of_name(&base, name) else { continue };
            if of == Type::Str {
                let value = match &name.value {
                    Some(value) => self.text(value),
                    None => Some(Str::Constant(Box::from([]))),
                };
                let Some(value) = value else { continue };
                let target = StringTarget::Local(self.new_string());
                let set = Str::Set(target, Box::new(value));
                statements.push(Statement::Evaluate(ir::Expression::Str(set)));
                self.bind(&name.name, Local::Str(target));
            } else if of.is_scalar() {
                let value = match &name.value {
                    Some(value) => self.integer(value),
                    None => Some(Integer::Constant(0)),
                };
                let (local, set) = self.initialised(of, value.unwrap_or(Integer::Constant(0)));
                statements.push(set);
                self.bind(&name.name, local);
            } else {
                let problem = format!("{} can't be {}", name.name, self.records.describe(&of));
                let label = "a variable is an integer, a pointer or a string";
                self.wrong::<()>(name.span, problem, label);
            }
        }
        statements
    }

    /// Declares a variable that is assigned to without a declaration.
    pub(super) fn declare_implicit(&mut self, name: &str, span: crate::source::Span, of: Type) {
        let of = match of {
            Type::Array(of, _) => Type::Pointer(of, self.model),
            Type::Void | Type::Record(_) => Type::NUMBER,
            other => other,
        };
        if self.names.contains_key(name) {
            return;
        }
        if of == Type::Str {
            self.define_string(name, span, Text::default());
        } else {
            self.define_integer(name, span, of, 0);
        }
    }

    /// Whether the script doesn't define this name, and it isn't reserved.
    pub(super) fn is_free(&self, name: &str) -> bool {
        self.local(name).is_none()
            && !matches!(
                self.entity(name),
                Some(
                    Entity::Integer(..)
                        | Entity::Str(_)
                        | Entity::Aggregate(_)
                        | Entity::Bag(_)
                        | Entity::Function(_)
                        | Entity::Constant(_)
                )
            )
            && !crate::variable::is_reserved(name)
    }
}
