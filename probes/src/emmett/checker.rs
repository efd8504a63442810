//! Tree to program: names, types, layouts, formats. It reports as much as it can find in one go.
//!
//! Definitions are read first, in order; then the names that nobody declared get a type from what
//! is assigned to them ([`implicit`]); then bodies are checked and lowered.

mod aggregate;
mod builtin;
mod call;
mod constant;
mod declare;
mod destructive;
mod expression;
mod implicit;
mod memory;
mod print;
mod probe;
mod statement;
mod types;
mod value;

#[cfg(test)]
pub(crate) use builtin::OWN;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::tree::Item;
use super::types::{Model, Records, Type};
use crate::diagnostic::Diagnostic;
use crate::front::Environment;
use crate::front::aggregation::Usages;
use crate::front::parameters::Parameters;
use crate::front::problems::Problems;
use crate::ir::{
    AggregateSlot, BagSlot, Frame, FunctionSlot, IntegerTarget, Place, Program, StringSlot,
    StringTarget,
};
use crate::point::Scope;
use crate::source::{Source, Span};
use crate::variable::Variable;

/// Checks the items of scripts that share their names, and adds them to a program.
pub fn check(
    items: &[Item],
    sources: &[Source],
    environment: &Environment,
    program: &mut Program,
) -> Vec<Diagnostic> {
    let mut checker = Checker {
        scope: environment.scope,
        parameters: environment.parameters,
        sources,
        program,
        model: Model::default(),
        records: Records::default(),
        tags: HashMap::new(),
        types: HashMap::new(),
        names: BTreeMap::new(),
        signatures: HashMap::new(),
        usages: Usages::default(),
        reads: Vec::new(),
        locals: Vec::new(),
        frame: Frame::default(),
        result: None,
        loops: 0,
        reported: HashSet::new(),
        problems: Problems::default(),
    };
    let bodies: Vec<declare::Body> = items.iter().filter_map(|item| checker.item(item)).collect();
    checker.declare_implicitly(&bodies);
    for body in &bodies {
        checker.body(body);
    }
    checker.check_reads();
    checker.problems.into_list()
}

/// What a name of the script stands for, outside functions.
#[derive(Clone, Debug)]
enum Entity {
    Integer(IntegerTarget, Type),
    Str(StringSlot),
    Aggregate(AggregateSlot),
    Bag(BagSlot),
    Function(FunctionSlot),
    Constant(u64),
}

impl Entity {
    /// What it is, for messages.
    fn describe(&self) -> &'static str {
        match self {
            Self::Integer(..) => "an integer",
            Self::Str(_) => "a string",
            Self::Aggregate(_) => "an aggregate",
            Self::Bag(_) => "a bag",
            Self::Function(_) => "a function",
            Self::Constant(_) => "a constant",
        }
    }
}

/// What a name stands for in a function or probe.
#[derive(Clone, Debug)]
enum Local {
    Integer(u32, Type),
    Str(StringTarget),
    /// A probe's parameter: one of `ARG0` and so on.
    Argument(Variable, Type),
}

/// What a function takes and yields.
#[derive(Clone, Debug)]
struct Signature {
    parameters: Vec<Type>,
    result: Type,
    /// Whether its body has been seen, not only a prototype.
    is_defined: bool,
}

struct Checker<'a> {
    scope: Scope<'a>,
    /// What the user sets.
    parameters: &'a Parameters,
    sources: &'a [Source],
    program: &'a mut Program,
    /// Of the declarations that follow.
    model: Model,
    records: Records,
    /// Structures by tag.
    tags: HashMap<String, usize>,
    /// What `typedef` names.
    types: HashMap<String, Type>,
    /// Sorted, so that of two suggestions that are equally near the same one is made each time.
    names: BTreeMap<String, (Entity, Span)>,
    signatures: HashMap<String, Signature>,
    usages: Usages,
    /// Aggregates that are read, and where.
    reads: Vec<(AggregateSlot, Span)>,
    /// The blocks that are open, outermost first.
    locals: Vec<HashMap<String, Local>>,
    frame: Frame,
    /// What the function that is checked yields; `None` in a probe.
    result: Option<Type>,
    /// Loops that are open.
    loops: usize,
    /// Unknown names that were reported already.
    reported: HashSet<String>,
    problems: Problems,
}

impl Checker<'_> {
    /// Reports an error, and stands for what could not be made.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.problems.report(diagnostic);
        None
    }

    /// Reports what is wrong at a place.
    fn wrong<T>(&mut self, span: Span, message: impl Into<String>, label: &str) -> Option<T> {
        self.fail(Diagnostic::error(span, message, label))
    }

    fn place(&mut self, span: Span) -> Place {
        self.program.places.push(span);
        Place(self.program.places.len() - 1)
    }

    /// The local of this name, from the inside out.
    fn local(&self, name: &str) -> Option<Local> {
        self.locals.iter().rev().find_map(|block| block.get(name)).cloned()
    }

    fn entity(&self, name: &str) -> Option<Entity> {
        self.names.get(name).map(|(entity, _)| entity.clone())
    }

    /// Runs `inner` with a new block of locals.
    fn in_block<T>(&mut self, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.locals.push(HashMap::new());
        let result = inner(self);
        self.locals.pop();
        result
    }

    fn bind(&mut self, name: &str, local: Local) {
        if let Some(block) = self.locals.last_mut() {
            block.insert(name.to_owned(), local);
        }
    }

    fn new_integer(&mut self) -> u32 {
        self.frame.integers += 1;
        self.frame.integers - 1
    }

    fn new_string(&mut self) -> u32 {
        self.frame.strings += 1;
        self.frame.strings - 1
    }
}
