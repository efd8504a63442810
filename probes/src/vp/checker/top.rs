//! Checks the forms outside probes.

use std::fmt;

use inspect::suggest::nearest;

use crate::diagnostic::Diagnostic;
use crate::front::foreign;
use crate::ir::{Frame, Function, Probe, Statement, Type};
use crate::point::{self, Found, NoPoint};
use crate::source::Span;

use super::super::dialect::is_vprobe_misspelt;
use super::super::tree::{Node, NodeKind};
use super::{Call, Checker, FunctionForm, describe};
use crate::front::Dialect;
use crate::front::vocabulary::{self, Head, Top};

/// The most probes of a script. `VProbes` had 32.
pub(crate) const MAX_PROBES: usize = 1024;

/// A form whose body is checked once every definition is known.
pub(super) enum Body<'a> {
    Probe(ProbeForm<'a>),
    Function(FunctionForm<'a>),
}

/// A `vprobe` form.
pub(super) struct ProbeForm<'a> {
    points: Vec<Found>,
    name: &'a str,
    span: Span,
    predicate: Option<&'a Node>,
    pub(super) body: &'a [Node],
}

impl ProbeForm<'_> {
    /// Prints the probe's points.
    pub(super) fn list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: Vec<String> = self.points.iter().map(|found| found.point.to_string()).collect();
        writeln!(f, "probe {}: {}", self.name, points.join(", "))
    }
}

impl Checker<'_> {
    /// Checks a top-level form. The body of a probe or function is left for later.
    pub(super) fn top<'a>(&mut self, node: &'a Node) -> Option<Body<'a>> {
        const EXPECTED: &str = "expected a form: version, definteger, defstring, defaggr, defbag, \
                                defun or vprobe";
        if self.problems.is_full() {
            return None;
        }
        let NodeKind::List(list) = &node.kind else {
            let problem = format!("{} can't stand here by itself", describe(node));
            return self.fail(Diagnostic::error(node.span, problem, EXPECTED));
        };
        let call = self.call(node.span, list, EXPECTED)?;
        if is_vprobe_misspelt(call.name) {
            if self.dialect == Dialect::Lenient {
                return self.vprobe(&call);
            }
            let problem = format!("unknown form {}", call.name);
            return self.fail(
                Diagnostic::error(call.head, problem, EXPECTED)
                    .with_help("--strict-vp wants the keyword as in the manual: vprobe"),
            );
        }
        match vocabulary::head(call.name) {
            Some(Head::Top(Top::Vprobe)) => self.vprobe(&call),
            Some(Head::Top(Top::Defun)) => self.define_function(&call).map(Body::Function),
            Some(Head::Top(Top::Version)) => self.version(&call),
            Some(Head::Top(Top::DefInteger)) => self.define_integer(&call),
            Some(Head::Top(Top::DefString)) => self.define_string(&call),
            Some(Head::Top(Top::DefAggr)) => self.define_aggregate(&call),
            Some(Head::Top(Top::DefBag)) => self.define_bag(&call),
            Some(Head::Value(_) | Head::Never(_)) => {
                let problem = format!("{} can't stand outside a probe", call.name);
                self.fail(
                    Diagnostic::error(call.head, problem, EXPECTED)
                        .with_help("put it inside a probe, such as (vprobe VMMLoad ...)"),
                )
            }
            None => {
                let problem = format!("unknown form {}", call.name);
                let near = nearest(call.name, vocabulary::tops());
                self.fail(Diagnostic::error(call.head, problem, EXPECTED).suggesting(near))
            }
        }
    }

    fn vprobe<'a>(&mut self, call: &Call<'a>) -> Option<Body<'a>> {
        let [point, body @ ..] = call.arguments else {
            return self.fail(Diagnostic::error(
                call.span,
                "this probe has no point and does nothing",
                "expected (vprobe POINT expression ...)",
            ));
        };
        let NodeKind::Word(name) = &point.kind else {
            let problem = format!("{} is no probe point", describe(point));
            return self.fail(Diagnostic::error(
                point.span,
                problem,
                "expected a probe point such as VMM1Hz",
            ));
        };
        let found = match point::find(name, &self.scope) {
            Ok(found) => found,
            Err(error) => {
                self.problems.report(no_point(point.span, &error));
                // The script can't be loaded any more, but its body is still checked to report its
                // errors, too.
                Vec::new()
            }
        };
        // The expression between two slashes is the probe's predicate.
        let (predicate, body) = match body {
            [open, predicate, close, body @ ..] if is_slash(open) && is_slash(close) => {
                (Some(predicate), body)
            }
            body => (None, body),
        };
        if body.is_empty() {
            return self.fail(Diagnostic::error(
                call.span,
                "this probe does nothing",
                "expected an expression behind the probe point",
            ));
        }
        Some(Body::Probe(ProbeForm { points: found, name, span: call.span, predicate, body }))
    }

    /// Checks a probe's body.
    pub(super) fn probe(&mut self, form: &ProbeForm) {
        self.parameters.clear();
        let predicate = form.predicate.and_then(|node| self.integer(node));
        let body: Vec<_> = form.body.iter().filter_map(|node| self.statement(node)).collect();
        if self.program.probes.len() >= MAX_PROBES {
            let problem = format!("there are more than {MAX_PROBES} probes");
            return self.problems.report(Diagnostic::error(
                form.span,
                problem,
                "this one is too many",
            ));
        }
        self.program.probes.push(Probe {
            points: form.points.clone(),
            written: form.name.into(),
            span: form.span,
            predicate,
            body,
            frame: Frame::default(),
        });
    }

    /// Checks a function's body.
    pub(super) fn function(&mut self, index: usize, form: &FunctionForm) {
        let Some(signature) = self.signatures.get(index).cloned() else { return };
        let names = form.parameters.iter().map(|(name, _)| (*name).to_owned());
        self.parameters = names.zip(signature.parameters.iter().copied()).collect();
        let Some((last, before)) = form.body.split_last() else { return };
        let body: Vec<Statement> = before.iter().filter_map(|node| self.statement(node)).collect();
        let result = match signature.result {
            Type::Integer => self.integer(last).map(crate::ir::Expression::Integer),
            Type::Str => self.string(last).map(crate::ir::Expression::Str),
        };
        self.parameters.clear();
        // The function is added in any case, so that the functions after it keep their indexes.
        let result =
            result.unwrap_or(crate::ir::Expression::Integer(crate::ir::Integer::Constant(0)));
        let integers = signature.parameters.len() as u32;
        self.program.functions.push(Function {
            name: form.name.into(),
            parameters: signature.parameters,
            body,
            result,
            frame: Frame { integers, strings: 0 },
        });
    }

    fn version<T>(&mut self, call: &Call) -> Option<T> {
        const EXPECTED: &str = "expected a version such as \"1.0\"";
        let text = match call.arguments {
            [Node { kind: NodeKind::Word(text), .. }] => text.as_str(),
            [Node { kind: NodeKind::Literal(literal), .. }] => literal.value.as_str(),
            _ => return self.fail(Diagnostic::error(call.span, "this is no version", EXPECTED)),
        };
        let number = |part: &str| part.parse::<u32>().ok();
        let version =
            text.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        match version {
            None => self.fail(Diagnostic::error(call.span, "this is no version", EXPECTED)),
            Some((1, 0)) => None,
            Some((2.., _)) => self.fail(Diagnostic::error(
                call.span,
                format!("the script is written for VP {text}"),
                "this engine runs VP 1.0",
            )),
            Some(_) => {
                self.problems.report(Diagnostic::warning(
                    call.span,
                    format!("the script is written for VP {text}"),
                    "this engine runs VP 1.0, which may differ",
                ));
                None
            }
        }
    }
}

fn is_slash(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Word(word) if word == "/")
}

/// The error about a name that isn't a probe point.
pub(crate) fn no_point(span: Span, error: &NoPoint) -> Diagnostic {
    match error {
        NoPoint::Unknown { name, suggestion } => {
            let label = "expected a probe point such as VMM1Hz, VMM:TIMER:10msec or In";
            let diagnostic = Diagnostic::error(span, error.to_string(), label);
            match foreign::point(name) {
                Some(here) => diagnostic.with_help(here),
                None => diagnostic.suggesting(*suggestion),
            }
        }
        NoPoint::Missing { .. } => Diagnostic::error(span, error.to_string(), "not available"),
        NoPoint::Malformed { .. } => {
            Diagnostic::error(span, error.to_string(), "expected another name")
        }
    }
}
