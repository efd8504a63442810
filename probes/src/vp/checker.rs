//! Tree to program: names, types, arity, formats. It reports as much as it can find in one go.

mod expression;
mod operand;
mod print;
mod top;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::ir::{IntegerSlot, Place, Program, StringSlot};
use crate::source::{Source, Span};

use super::dialect::Dialect;
use super::tree::{Node, NodeKind};

/// After so many errors the rest is not worth reading.
const MAX_ERRORS: usize = 20;

/// Checks the top-level forms of scripts that share their names.
pub fn check(
    sources: &Arc<[Source]>,
    forms: &[Node],
    dialect: Dialect,
) -> (Option<Program>, Vec<Diagnostic>) {
    let mut checker = Checker {
        dialect,
        variables: BTreeMap::new(),
        reported: HashSet::new(),
        diagnostics: Vec::new(),
        errors: 0,
        program: Program {
            probes: Vec::new(),
            integers: Vec::new(),
            strings: Vec::new(),
            places: Vec::new(),
            sources: Arc::clone(sources),
        },
    };
    // Probes come last, so that a variable may be defined behind them or in a later script.
    let probes: Vec<top::ProbeForm> = forms.iter().filter_map(|form| checker.top(form)).collect();
    for probe in &probes {
        checker.probe(probe);
    }
    checker.finish()
}

/// A variable of the script.
#[derive(Clone, Copy)]
enum Slot {
    Integer(IntegerSlot),
    Str(StringSlot),
}

struct Variable {
    slot: Slot,
    span: Span,
}

struct Checker {
    dialect: Dialect,
    /// Sorted, so that of two suggestions that are equally near the same one is made each time.
    variables: BTreeMap<String, Variable>,
    /// Unknown names that were reported already.
    reported: HashSet<String>,
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    program: Program,
}

/// A list whose head is a name.
#[derive(Clone, Copy)]
struct Call<'a> {
    /// The whole list.
    span: Span,
    /// The name, and where it is.
    name: &'a str,
    head: Span,
    arguments: &'a [Node],
}

impl Checker {
    fn report(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
            if self.is_full() {
                return;
            }
        }
        self.diagnostics.push(diagnostic);
    }

    /// Whether there are more errors than anybody wants to see.
    fn is_full(&self) -> bool {
        self.errors > MAX_ERRORS
    }

    /// Reports an error, and stands for what could not be made.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.report(diagnostic);
        None
    }

    fn place(&mut self, span: Span) -> Place {
        self.program.places.push(span);
        Place(self.program.places.len() - 1)
    }

    /// Reads a list as a call; an error if it isn't one.
    fn call<'a>(&mut self, span: Span, list: &'a [Node], expected: &str) -> Option<Call<'a>> {
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

    fn finish(mut self) -> (Option<Program>, Vec<Diagnostic>) {
        if self.is_full() {
            self.diagnostics
                .push(Diagnostic::general("there are more errors, which are not shown"));
        }
        if self.errors == 0 && self.program.probes.is_empty() {
            self.report(
                Diagnostic::general("there is no probe in this script, so nothing would ever run")
                    .with_help("add a form such as (vprobe VMM1Hz (printf \"%d\\n\" VCPUID))"),
            );
        }
        // Definitions are checked before probes; the reader wants to go through the file once.
        self.diagnostics.sort_by_key(|diagnostic| {
            diagnostic.span.map_or((u32::MAX, 0), |span| (span.source, span.start))
        });
        let program = (self.errors == 0).then_some(self.program);
        (program, self.diagnostics)
    }
}

/// What a node is, for messages.
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
