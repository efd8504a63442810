//! Builds the IR of Emmett scripts from their trees, in three passes: [`declare()`] reads the
//! definitions, in order, and lays structures out; [`Declared::infer`] gives names that are used
//! without a declaration a type from what is assigned to them ([`implicit`]); [`Inferred::check`]
//! resolves the names in bodies, checks types and formats, and lowers the bodies to IR. Each pass
//! goes on after an error, so that all errors of the three are reported together.

mod aggregate;
mod builtin;
mod call;
mod constant;
mod declare;
mod destructive;
mod expression;
mod implicit;
mod listing;
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

/// The result of the pass [`declare()`]: the names that the scripts define, with what each
/// stands for. `Display` prints them.
pub struct Declared<'a> {
    checker: Checker<'a>,
    bodies: Vec<declare::Body<'a>>,
}

/// The result of the pass [`Declared::infer`]: all names of the scripts, with their types.
/// `Display` prints them.
pub struct Inferred<'a>(Declared<'a>);

/// Reads the definitions among the items of scripts that share their names. What the scripts define
/// is added to the program.
pub fn declare<'a>(
    items: &'a [Item],
    sources: &'a [Source],
    environment: &Environment<'a>,
    program: &'a mut Program,
) -> Declared<'a> {
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
    let bodies = items.iter().filter_map(|item| checker.item(item)).collect();
    Declared { checker, bodies }
}

impl<'a> Declared<'a> {
    /// Finds the types of names that the scripts use without a declaration, and defines these
    /// names.
    pub fn infer(mut self) -> Inferred<'a> {
        self.checker.declare_implicitly(&self.bodies);
        Inferred(self)
    }

    /// The errors and warnings so far.
    pub fn into_problems(self) -> Vec<Diagnostic> {
        self.checker.problems.into_list()
    }
}

impl Inferred<'_> {
    /// Checks the bodies of functions and probes, and lowers them to IR in the program. The result
    /// is the errors and warnings of all three passes.
    pub fn check(self) -> Vec<Diagnostic> {
        let Declared { mut checker, bodies } = self.0;
        for body in &bodies {
            checker.body(body);
        }
        checker.check_reads();
        checker.problems.into_list()
    }

    /// The errors and warnings so far.
    pub fn into_problems(self) -> Vec<Diagnostic> {
        self.0.into_problems()
    }
}

/// What a name of the script stands for outside functions and probes.
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
    /// What the name stands for, in words for messages.
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

/// What a name stands for inside a function or probe.
#[derive(Clone, Debug)]
enum Local {
    Integer(u32, Type),
    Str(StringTarget),
    /// A parameter of a probe: one of `ARG0` and the following arguments.
    Argument(Variable, Type),
}

/// The types of a function's parameters and of its result.
#[derive(Clone, Debug)]
struct Signature {
    parameters: Vec<Type>,
    result: Type,
    /// Whether its body has been read, and not only a prototype.
    is_defined: bool,
}

struct Checker<'a> {
    scope: Scope<'a>,
    /// The values that the user sets.
    parameters: &'a Parameters,
    sources: &'a [Source],
    program: &'a mut Program,
    /// The memory model of the declarations that follow.
    model: Model,
    records: Records,
    /// The index of each structure, by its tag.
    tags: HashMap<String, usize>,
    /// The types that `typedef` declares.
    types: HashMap<String, Type>,
    /// Sorted, so that the choice between equally similar suggestions is always the same.
    names: BTreeMap<String, (Entity, Span)>,
    signatures: HashMap<String, Signature>,
    usages: Usages,
    /// The aggregates that the script reads, each with its place.
    reads: Vec<(AggregateSlot, Span)>,
    /// The locals of each open block, outermost block first.
    locals: Vec<HashMap<String, Local>>,
    frame: Frame,
    /// The result type of the function that is being checked; `None` in a probe.
    result: Option<Type>,
    /// How many loops are open.
    loops: usize,
    /// Unknown names that have been reported.
    reported: HashSet<String>,
    problems: Problems,
}

impl Checker<'_> {
    /// Reports an error, and returns `None` for what could not be built.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.problems.report(diagnostic);
        None
    }

    /// Reports an error at a place.
    fn wrong<T>(&mut self, span: Span, message: impl Into<String>, label: &str) -> Option<T> {
        self.fail(Diagnostic::error(span, message, label))
    }

    fn place(&mut self, span: Span) -> Place {
        self.program.places.push(span);
        Place(self.program.places.len() - 1)
    }

    /// The local with this name in the innermost block that has one.
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
