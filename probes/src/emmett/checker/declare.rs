//! Reads the items of a script in order: directives, types, variables, and the names of functions.

use super::super::tree::{Declaration, Declarator, Directive, Function, Item, Probe, TypeName};
use super::super::types::{Model, Type};
use super::{Checker, Entity, Signature};
use crate::aggregate::{Kind, Shape};
use crate::bag::Bag;
use crate::diagnostic::Diagnostic;
use crate::front::{foreign, vocabulary};
use crate::ir::{
    self, AggregateSlot, BagSlot, FunctionSlot, IntegerSlot, IntegerTarget, StringSlot,
};
use crate::source::Span;
use crate::text::Text;
use crate::variable;

/// The most names of one kind. Each vCPU has a copy of each string.
const MAX_NAMES: usize = 4096;
/// The most aggregates, and also the most bags.
const MAX_TABLES: usize = 256;
/// The number of pairs in a bag for which the script gives no size.
const BAG_CAPACITY: u64 = 256;

/// An item with a body, and the memory model that applies to it.
pub(super) enum Body<'a> {
    Function(&'a Function, Model),
    Probe(&'a Probe, Model),
}

impl Checker<'_> {
    /// Reads a definition. An item with a body is returned, to be checked later.
    pub(super) fn item<'b>(&mut self, item: &'b Item) -> Option<Body<'b>> {
        if self.problems.is_full() {
            return None;
        }
        match item {
            Item::Directive(directive) => {
                self.directive(directive);
                None
            }
            Item::Declaration(declaration) => {
                self.declaration(declaration);
                None
            }
            Item::Function(function) => self.signature(function),
            Item::Probe(probe) => Some(Body::Probe(probe, self.model)),
        }
    }

    fn directive(&mut self, directive: &Directive) {
        let Directive { name, value, span } = directive;
        let refuse = |reason: &str| {
            let message = format!("@{name} is not available: {reason}");
            Diagnostic::error(*span, message, "not available")
        };
        match (name.as_str(), value) {
            ("memmodel" | "MEMORY_MODEL", Some(model)) => self.memory_model(model, *span),
            ("VMK", _) => self.problems.report(refuse("there is no vmkernel below this machine")),
            (vm, _) if vm.starts_with("VM") => {
                self.problems.report(refuse("a script is for the machine that it is loaded into"));
            }
            _ => {
                let problem = format!("unknown directive @{name}");
                let label = "expected @MEMORY_MODEL = guest64 or the like";
                let error = Diagnostic::error(*span, problem, label);
                self.problems.report(error.with_help(foreign::AGGREGATE));
            }
        }
    }

    fn declaration(&mut self, declaration: &Declaration) {
        if matches!(declaration.base, TypeName::Aggregate | TypeName::Bag) {
            for name in &declaration.names {
                self.storage(declaration, true);
                if matches!(declaration.base, TypeName::Bag) {
                    self.bag(name);
                } else {
                    self.aggregate(name);
                }
            }
            return;
        }
        let Some(base) = self.base(&declaration.base) else { return };
        for name in &declaration.names {
            let Some(of) = self.type_of_name(&base, name) else { continue };
            if declaration.is_typedef {
                self.types.insert(name.name.clone(), of);
            } else {
                self.storage(declaration, false);
                self.variable(declaration, name, of);
            }
        }
    }

    /// Checks the storage class of a variable: one for each vCPU, or one for all vCPUs.
    fn storage(&mut self, declaration: &Declaration, is_table: bool) {
        let Some((word, span)) = &declaration.storage else { return };
        match word.as_str() {
            "pervmk" => {
                let problem = "pervmk is not available: there is no vmkernel below this machine";
                self.problems.report(Diagnostic::error(*span, problem, "not available"));
            }
            "perthread" if is_table => {
                let problem = "bags and aggregates can't be perthread";
                self.problems.report(Diagnostic::error(
                    *span,
                    problem,
                    "expected pervm, or nothing",
                ));
            }
            _ => {}
        }
    }

    fn variable(&mut self, declaration: &Declaration, name: &Declarator, of: Type) {
        if declaration.is_constant && of.is_scalar() {
            let Some(value) = &name.value else {
                self.wrong::<()>(name.span, "a constant needs a value", "expected = and a number");
                return;
            };
            if let Some(value) = self.set_integer(name, |checker| checker.constant(value)) {
                self.define(&name.name, name.span, Entity::Constant(value));
            }
            return;
        }
        if declaration.is_shared() && !matches!(of, Type::Integer(_)) {
            let problem = "only integers, bags and aggregates can be shared by all vCPUs";
            self.wrong::<()>(name.span, problem, "expected perthread, or nothing");
        } else if of == Type::Str {
            let set = self.parameters.text(&name.name, name.span);
            let text = match (set, &name.value) {
                (Ok(Some(text)), _) => Some(text),
                (Err(refused), _) => self.fail(*refused),
                (Ok(None), None) => Some(Text::default()),
                (Ok(None), Some(value)) => self.literal(value),
            };
            if let Some(text) = text {
                self.define_string(&name.name, name.span, text);
            }
        } else if of.is_scalar() {
            let value = self.set_integer(name, |checker| match &name.value {
                None => Some(0),
                Some(value) => checker.constant(value),
            });
            match (value, declaration.is_shared()) {
                (Some(value), true) => self.define_shared(&name.name, name.span, of, value),
                (Some(value), false) => self.define_integer(&name.name, name.span, of, value),
                (None, _) => {}
            }
        } else {
            let problem = format!("{} can't be {}", name.name, self.records.describe(&of));
            let label = "a variable is an integer, a pointer, a string, a bag or an aggregate";
            self.problems.report(
                Diagnostic::error(name.span, problem, label)
                    .with_help("what lies in the guest's memory is reached by a pointer"),
            );
        }
    }

    /// The value to which the user sets an integer, or else the script's own value.
    fn set_integer(
        &mut self,
        name: &Declarator,
        own: impl FnOnce(&mut Self) -> Option<u64>,
    ) -> Option<u64> {
        match self.parameters.integer(&name.name, name.span) {
            Ok(None) => own(self),
            Ok(Some(value)) => Some(value),
            Err(refused) => self.fail(*refused),
        }
    }

    pub(super) fn define_integer(&mut self, name: &str, span: Span, of: Type, value: u64) {
        let slot = IntegerSlot(self.program.integers.len());
        let entity = Entity::Integer(IntegerTarget::Variable(slot), of);
        if self.room(span, slot.0, MAX_NAMES) && self.define(name, span, entity) {
            self.program.integers.push(value);
        }
    }

    /// `pervm int n;`: a variable that all vCPUs share.
    fn define_shared(&mut self, name: &str, span: Span, of: Type, value: u64) {
        let slot = IntegerSlot(self.program.shared_integers.len());
        let entity = Entity::Integer(IntegerTarget::Shared(slot), of);
        if self.room(span, slot.0, MAX_NAMES) && self.define(name, span, entity) {
            self.program.shared_integers.push(value);
        }
    }

    pub(super) fn define_string(&mut self, name: &str, span: Span, text: Text) {
        let slot = StringSlot(self.program.strings.len());
        if self.room(span, slot.0, MAX_NAMES) && self.define(name, span, Entity::Str(slot)) {
            self.program.strings.push(text);
        }
    }

    pub(super) fn define_aggregate(&mut self, name: &str, span: Span, keys: (usize, usize)) {
        let slot = AggregateSlot(self.program.aggregates.len());
        if self.room(span, slot.0, MAX_TABLES) && self.define(name, span, Entity::Aggregate(slot)) {
            let (integers, strings) = keys;
            let (name, kind) = (name.to_owned(), Kind::Classic);
            self.program.aggregates.push(Shape { name, integers, strings, stack: None, kind });
        }
    }

    /// `aggr a[2][1]`: the number of integer keys, then the number of string keys.
    fn aggregate(&mut self, name: &Declarator) {
        let mut keys = [0, 0];
        if name.dimensions.len() > keys.len() || name.value.is_some() || name.pointers > 0 {
            let label = "expected aggr NAME[INTEGER-KEYS][STRING-KEYS];";
            self.wrong::<()>(name.span, "this is no aggregate", label);
            return;
        }
        for (count, dimension) in keys.iter_mut().zip(&name.dimensions) {
            let Some(dimension) = dimension else { continue };
            let Some(value) = self.constant(dimension) else { return };
            if value > Shape::MAX_KEYS as u64 {
                let problem = "this is no number of keys";
                self.wrong::<()>(dimension.span, problem, "expected a number from 0 to 16");
                return;
            }
            *count = value as usize;
        }
        let [integers, strings] = keys;
        self.define_aggregate(&name.name, name.span, (integers, strings));
    }

    fn bag(&mut self, name: &Declarator) {
        let size = match name.dimensions.as_slice() {
            [] | [None] => Some(BAG_CAPACITY),
            [Some(size)] => self.constant(size),
            _ => self.wrong(name.span, "this is no bag", "expected bag NAME[SIZE];"),
        };
        let Some(size) = size else { return };
        if !(1..=Bag::MAX_CAPACITY).contains(&size) {
            let label = format!("expected a number from 1 to {}", Bag::MAX_CAPACITY);
            self.wrong::<()>(name.span, "this is no number of pairs", &label);
            return;
        }
        let slot = BagSlot(self.program.bags.len());
        if self.room(name.span, slot.0, MAX_TABLES)
            && self.define(&name.name, name.span, Entity::Bag(slot))
        {
            let (name, capacity) = (name.name.clone(), size as usize);
            self.program.bags.push(ir::Bag { name, capacity });
        }
    }

    /// Reads a function's name and types. Prototypes may precede the definition.
    fn signature<'b>(&mut self, function: &'b Function) -> Option<Body<'b>> {
        let name = &function.name;
        let base = self.base(&function.result);
        let result = base.and_then(|base| self.type_of_name(&base, name));
        let Some(result) = result.filter(|r| *r == Type::Void || *r == Type::Str || r.is_scalar())
        else {
            let label = "expected void, an integer, a pointer or a string";
            return self.wrong(name.span, "a function can't yield this", label);
        };
        let parameters: Vec<_> = function.parameters.iter().map(|p| self.parameter(p)).collect();
        let parameters = parameters.into_iter().collect::<Option<Vec<Type>>>()?;
        let is_defined = function.body.is_some();
        let signature = Signature { parameters, result, is_defined };
        match self.signatures.get_mut(&name.name) {
            Some(known) if known.is_defined && is_defined => {
                return self.wrong(
                    name.span,
                    format!("{} is defined twice", name.name),
                    "here again",
                );
            }
            Some(known) if known.parameters.len() != signature.parameters.len() => {
                let problem = format!("{} is declared with other parameters", name.name);
                return self.wrong(name.span, problem, "expected those of its prototype");
            }
            Some(known) => {
                known.is_defined |= is_defined;
                if is_defined {
                    known.parameters = signature.parameters;
                    known.result = signature.result;
                }
            }
            None => {
                self.signatures.insert(name.name.clone(), signature);
            }
        }
        if !is_defined {
            return None;
        }
        let functions = self.names.values().filter(|(e, _)| matches!(e, Entity::Function(_)));
        let slot = FunctionSlot(self.program.functions.len() + functions.count());
        (self.room(name.span, slot.0, MAX_NAMES)
            && self.define(&name.name, name.span, Entity::Function(slot)))
        .then_some(Body::Function(function, self.model))
    }

    fn room(&mut self, span: Span, number: usize, most: usize) -> bool {
        if number >= most {
            let problem = format!("there are more than {most} of these");
            self.problems.report(Diagnostic::error(span, problem, "this one is too many"));
        }
        number < most
    }

    /// Defines a name; `false` if the name can't be used for this.
    pub(super) fn define(&mut self, name: &str, span: Span, entity: Entity) -> bool {
        if let Some((_, first)) = self.names.get(name) {
            let first = *first;
            self.problems.report(
                Diagnostic::error(span, format!("{name} is defined twice"), "here again")
                    .with_related(first, "first here"),
            );
            return false;
        }
        if variable::is_reserved(name) {
            let problem = format!("{name} is a built-in variable");
            self.problems.report(Diagnostic::error(span, problem, "expected another name"));
            return false;
        }
        if matches!(entity, Entity::Function(_)) && vocabulary::is_reserved(name) {
            let problem = format!("{name} is a built-in function");
            self.problems.report(Diagnostic::error(span, problem, "expected another name"));
            return false;
        }
        self.names.insert(name.to_owned(), (entity, span));
        true
    }
}
