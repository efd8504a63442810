//! Builds the IR of VP scripts from their trees, in three passes: [`declare`] reads the definitions
//! and the heads of the probes, [`Declared::infer`] finds the types of functions, and
//! [`Inferred::check`] resolves the names in bodies, checks types, numbers of arguments and
//! formats, and lowers the bodies to IR. Each pass goes on after an error, so that all errors of
//! the three are reported together.

mod aggregate;
mod define;
mod destructive;
mod expression;
mod function;
mod guest;
mod listing;
mod operand;
mod print;
mod top;

use std::collections::{BTreeMap, HashSet};

use crate::diagnostic::Diagnostic;
use crate::front::Environment;
use crate::front::aggregation::Usages;
use crate::front::parameters::Parameters;
use crate::front::problems::Problems;
use crate::ir::{Place, Program, Type};
use crate::point::Scope;
use crate::source::{Source, Span};

pub(crate) use top::{MAX_PROBES, no_point};

use super::declared::{FunctionForm, Slot, Variable};
use super::infer::{self, Signature};
use super::tree::{Node, NodeKind};
use crate::front::Dialect;

/// The result of the pass [`declare`]: the names that the scripts define, with what each stands
/// for. `Display` prints them.
pub struct Declared<'a> {
    checker: Checker<'a>,
    functions: Vec<FunctionForm<'a>>,
    probes: Vec<top::ProbeForm<'a>>,
}

/// The result of the pass [`Declared::infer`]: the functions with the types of their parameters and
/// results. `Display` prints them.
pub struct Inferred<'a>(Declared<'a>);

/// Reads the definitions in the top-level forms of scripts that share their names. What the scripts
/// define is added to the program.
pub fn declare<'a>(
    forms: &'a [Node],
    sources: &'a [Source],
    environment: &Environment<'a>,
    program: &'a mut Program,
) -> Declared<'a> {
    let mut checker = Checker {
        dialect: environment.dialect,
        scope: environment.scope,
        settings: environment.parameters,
        sources,
        variables: BTreeMap::new(),
        usages: Usages::default(),
        parameters: Vec::new(),
        signatures: Vec::new(),
        reported: HashSet::new(),
        problems: Problems::default(),
        program,
    };
    // Bodies are checked last, so that a name may be defined after its use or in a later script.
    let mut functions = Vec::new();
    let mut probes = Vec::new();
    for form in forms {
        match checker.top(form) {
            Some(top::Body::Probe(probe)) => probes.push(probe),
            Some(top::Body::Function(function)) => functions.push(function),
            None => {}
        }
    }
    Declared { checker, functions, probes }
}

impl<'a> Declared<'a> {
    /// Infers the types of functions from their uses.
    pub fn infer(mut self) -> Inferred<'a> {
        let bodies: Vec<&[Node]> = self.probes.iter().map(|probe| probe.body).collect();
        let checker = &mut self.checker;
        checker.signatures = infer::signatures(&self.functions, &bodies, &checker.variables);
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
        let Declared { mut checker, functions, probes } = self.0;
        for (index, function) in functions.iter().enumerate() {
            checker.function(index, function);
        }
        for probe in &probes {
            checker.probe(probe);
        }
        checker.problems.into_list()
    }

    /// The errors and warnings so far.
    pub fn into_problems(self) -> Vec<Diagnostic> {
        self.0.into_problems()
    }
}

struct Checker<'a> {
    dialect: Dialect,
    scope: Scope<'a>,
    /// The values that the user sets.
    settings: &'a Parameters,
    sources: &'a [Source],
    /// Sorted, so that the choice between equally similar suggestions is always the same.
    variables: BTreeMap<String, Variable>,
    usages: Usages,
    /// The parameters of the function that is being checked.
    parameters: Vec<(String, Type)>,
    signatures: Vec<Signature>,
    /// Unknown names that have been reported.
    reported: HashSet<String>,
    problems: Problems,
    program: &'a mut Program,
}

/// A list that begins with a name.
#[derive(Clone, Copy)]
struct Call<'a> {
    /// The place of the whole list.
    span: Span,
    /// The name, and its place.
    name: &'a str,
    head: Span,
    arguments: &'a [Node],
}

impl Checker<'_> {
    /// Reports an error, and returns `None` for what could not be built.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.problems.report(diagnostic);
        None
    }

    fn place(&mut self, span: Span) -> Place {
        self.program.places.push(span);
        Place(self.program.places.len() - 1)
    }

    /// Interprets a list as a call; reports an error if it isn't one.
    fn call<'b>(&mut self, span: Span, list: &'b [Node], expected: &str) -> Option<Call<'b>> {
        match list {
            [Node { span: head, kind: NodeKind::Word(name) }, arguments @ ..] => {
                Some(Call { span, name, head: *head, arguments })
            }
            [] => self.fail(Diagnostic::error(span, "this list is empty", expected)),
            [other, ..] => {
                let problem = format!("{} can't stand first in a list", describe(other));
                self.fail(Diagnostic::error(other.span, problem, expected))
            }
        }
    }
}

/// What a node is, in words for messages.
fn describe(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Integer(_) => "a number",
        NodeKind::Word(_) => "a name",
        NodeKind::Literal(_) => "a string",
        NodeKind::List(_) => "a list",
    }
}

#[cfg(test)]
mod tests;
