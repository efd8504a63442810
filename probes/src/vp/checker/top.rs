//! The forms outside probes.

use crate::diagnostic::Diagnostic;
use crate::ir::{IntegerSlot, Probe, StringSlot};
use crate::point::{NoPoint, Point};
use crate::source::Span;
use crate::suggest::nearest;
use crate::text::Text;
use crate::variable;

use super::super::dialect::{Dialect, is_vprobe_misspelt};
use super::super::parser::looks_like_number;
use super::super::tree::{Node, NodeKind};
use super::super::vocabulary::{self, Head, Top};
use super::{Call, Checker, Slot, Variable, describe};

/// A `vprobe` form whose body is checked when every definition is known.
pub(super) struct ProbeForm<'a> {
    point: Point,
    span: Span,
    body: &'a [Node],
}

impl Checker {
    /// Checks a top-level form. A probe is only read as far as its point.
    pub(super) fn top<'a>(&mut self, node: &'a Node) -> Option<ProbeForm<'a>> {
        const EXPECTED: &str = "expected a form: version, definteger, defstring or vprobe";
        if self.is_full() {
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
            Some(Head::Top(Top::Version)) => self.version(&call),
            Some(Head::Top(Top::DefInteger)) => self.define_integer(&call),
            Some(Head::Top(Top::DefString)) => self.define_string(&call),
            Some(Head::NotYet(what)) => self.not_yet(&call, what),
            Some(Head::Value(_)) => {
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

    /// VP has it, and this version doesn't run it.
    pub(super) fn not_yet<T>(&mut self, call: &Call, what: &str) -> Option<T> {
        let problem = format!("{} is a VP {what} that this version doesn't run yet", call.name);
        self.fail(Diagnostic::error(call.head, problem, "not available yet"))
    }

    fn vprobe<'a>(&mut self, call: &Call<'a>) -> Option<ProbeForm<'a>> {
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
        let found = match Point::find(name) {
            Ok(found) => found,
            Err(error) => {
                let points = Point::ALL.map(Point::name).join(", ");
                let label = format!("expected one of {points}");
                let diagnostic = Diagnostic::error(point.span, error.to_string(), label);
                self.report(match error {
                    NoPoint::Unknown { suggestion, .. } => diagnostic.suggesting(suggestion),
                    NoPoint::Missing { .. } => diagnostic,
                });
                // Nothing is loaded now, but the body is still checked, to report its errors too.
                Point::VmmLoad
            }
        };
        if body.is_empty() {
            return self.fail(Diagnostic::error(
                call.span,
                "this probe does nothing",
                "expected an expression behind the probe point",
            ));
        }
        Some(ProbeForm { point: found, span: call.span, body })
    }

    /// Checks a probe's body.
    pub(super) fn probe(&mut self, form: &ProbeForm) {
        let body: Vec<_> = form.body.iter().filter_map(|node| self.statement(node)).collect();
        self.program.probes.push(Probe { point: form.point, span: form.span, body });
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
                self.report(Diagnostic::warning(
                    call.span,
                    format!("the script is written for VP {text}"),
                    "this engine runs VP 1.0, which may differ",
                ));
                None
            }
        }
    }

    fn define_integer<T>(&mut self, call: &Call) -> Option<T> {
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
        self.define(name, slot)?;
        self.program.integers.push(value);
        None
    }

    fn define_string<T>(&mut self, call: &Call) -> Option<T> {
        const EXPECTED: &str = "expected (defstring NAME) or (defstring NAME \"TEXT\")";
        let (name, value) = match call.arguments {
            [name] => (name, Text::with_room()),
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
        self.define(name, slot)?;
        self.program.strings.push(value);
        None
    }

    fn define(&mut self, node: &Node, slot: Slot) -> Option<()> {
        let name = match &node.kind {
            NodeKind::Word(name) if !looks_like_number(name) => name,
            _ => {
                let label = "expected a name";
                return self.fail(Diagnostic::error(node.span, "this can't be a name", label));
            }
        };
        if variable::find(name).is_some() {
            let problem = format!("{name} is a built-in variable");
            return self.fail(Diagnostic::error(node.span, problem, "expected another name"));
        }
        if vocabulary::head(name).is_some() {
            let problem = format!("{name} is a word of VP");
            return self.fail(Diagnostic::error(node.span, problem, "expected another name"));
        }
        if let Some(first) = self.variables.get(name) {
            let first = first.span;
            return self.fail(
                Diagnostic::error(node.span, format!("{name} is defined twice"), "here again")
                    .with_related(first, "first here"),
            );
        }
        self.variables.insert(name.clone(), Variable { slot, span: node.span });
        Some(())
    }
}
