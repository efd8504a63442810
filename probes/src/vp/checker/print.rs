//! Checks printf and related forms: the format against the arguments.

use crate::diagnostic::Diagnostic;
use crate::format::{self, Conversion, Kind, Part};
use crate::ir::{Expression, Integer, Piece, Statement};
use crate::source::{Literal, Span};

use super::super::dialect::lost_newline;
use super::super::tree::{Node, NodeKind};
use super::{Call, Checker};
use crate::front::Dialect;

impl Checker<'_> {
    pub(super) fn printf(&mut self, call: &Call) -> Option<Integer> {
        let [format, arguments @ ..] = call.arguments else {
            return self.arity(call, "a format");
        };
        self.formatted(call, format, arguments).map(Integer::Print)
    }

    /// `(sprintf VARIABLE FORMAT ...)`.
    pub(super) fn sprintf(&mut self, call: &Call) -> Option<Integer> {
        let [target, format, arguments @ ..] = call.arguments else {
            return self.arity(call, "a string variable and a format");
        };
        let pieces = self.formatted(call, format, arguments);
        let target = self.string_target(target, "a string variable that takes the text")?;
        Some(Integer::Format(target, pieces?))
    }

    /// `(assert CONDITION [FORMAT ...])`: if the condition is 0, prints the place and the optional
    /// message, and cancels the firing.
    pub(super) fn assert(&mut self, call: &Call) -> Option<Integer> {
        let [condition, message @ ..] = call.arguments else {
            return self.arity(call, "a condition, and a format if you like");
        };
        let condition = self.integer(condition);
        let place = call.span.location(self.sources);
        let mut pieces = vec![Piece::Literal(format!("{place}: assertion failed").into_bytes())];
        if let [format, arguments @ ..] = message {
            pieces.push(Piece::Literal(b": ".to_vec()));
            pieces.extend(self.formatted(call, format, arguments)?);
        }
        if !matches!(pieces.last(), Some(Piece::Literal(text)) if text.ends_with(b"\n")) {
            pieces.push(Piece::Literal(b"\n".to_vec()));
        }
        let failed = vec![
            Statement::Evaluate(Expression::Integer(Integer::Print(pieces))),
            Statement::Raise(self.place(call.span)),
        ];
        let check = Statement::If(condition?, Vec::new(), failed);
        Some(Integer::Sequence(vec![check], Box::new(Integer::Constant(1))))
    }

    /// `logstr` and `logint`.
    pub(super) fn log(&mut self, call: &Call, is_text: bool) -> Option<Integer> {
        let [value] = call.arguments else {
            return self.arity(call, if is_text { "a string" } else { "an integer" });
        };
        let piece = if is_text {
            Piece::Str(Conversion::plain(Kind::Text), self.string(value)?)
        } else {
            Piece::Integer(Conversion::plain(Kind::Unsigned), self.integer(value)?)
        };
        Some(Integer::Print(vec![piece]))
    }

    fn formatted(&mut self, call: &Call, format: &Node, arguments: &[Node]) -> Option<Vec<Piece>> {
        let NodeKind::Literal(literal) = &format.kind else {
            return self.fail(
                Diagnostic::error(
                    format.span,
                    format!("{}'s format must be a literal", call.name),
                    "expected a string in double quotes",
                )
                .with_help("print a string variable by (printf \"%s\" variable)"),
            );
        };
        self.text(literal, format.span)?;
        let mut parts = match format::parse(&literal.value) {
            Ok(parts) => parts,
            Err(error) => {
                let at = literal.span(format.span.source, error.at.start, error.at.end);
                return self.fail(
                    Diagnostic::error(at, error.message, "expected another conversion")
                        .with_help(error.help),
                );
            }
        };
        if self.dialect == Dialect::Lenient {
            self.repair(&mut parts, literal, format.span);
        }
        self.pieces(call, parts, literal, format.span, arguments)
    }

    /// Replaces an `n` that has lost its backslash by a newline, and warns about it.
    fn repair(&mut self, parts: &mut [Part], literal: &Literal, format: Span) {
        let Some(at) = lost_newline(&literal.value, parts) else { return };
        if let Some(Part::Literal(tail)) = parts.last_mut() {
            "\n".clone_into(tail);
            let at = literal.span(format.source, at.start, at.end);
            let line = at.location(self.sources).line;
            self.problems.report(
                Diagnostic::warning(
                    at,
                    format!("line {line}: the last n of this format is taken as a newline"),
                    "a backslash seems to have got lost here",
                )
                .with_help("write \\n; with --strict-vp it stays an n"),
            );
        }
    }

    fn pieces(
        &mut self,
        call: &Call,
        parts: Vec<Part>,
        literal: &Literal,
        format: Span,
        arguments: &[Node],
    ) -> Option<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(parts.len());
        let mut rest = arguments.iter();
        let mut complete = true;
        for part in parts {
            let (conversion, at) = match part {
                Part::Literal(text) => {
                    pieces.push(Piece::Literal(text.into_bytes()));
                    continue;
                }
                Part::Argument(conversion, at) => (conversion, at),
            };
            let at = literal.span(format.source, at.start, at.end);
            let Some(argument) = rest.next() else {
                return self.fail(Diagnostic::error(
                    at,
                    "this conversion has no argument",
                    format!("expected {} behind the format", conversion.wanted()),
                ));
            };
            match self.argument(conversion, at, argument) {
                Some(piece) => pieces.push(piece),
                None => complete = false,
            }
        }
        if let Some(extra) = rest.next() {
            return self.fail(Diagnostic::error(
                extra.span,
                format!("{} has an argument that its format doesn't print", call.name),
                "expected a conversion for this in the format",
            ));
        }
        complete.then_some(pieces)
    }

    fn argument(&mut self, conversion: Conversion, at: Span, node: &Node) -> Option<Piece> {
        use crate::ir::Expression::{Integer, Str};
        match self.expression(node, super::expression::Use::Taken)? {
            Str(string) if conversion.takes_text() => Some(Piece::Str(conversion, string)),
            Integer(integer) if !conversion.takes_text() => {
                Some(Piece::Integer(conversion, integer))
            }
            other => {
                let found = if matches!(other, Str(_)) { "a string" } else { "an integer" };
                let wanted = conversion.wanted();
                self.fail(
                    Diagnostic::error(
                        node.span,
                        format!("this is {found}"),
                        format!("expected {wanted}"),
                    )
                    .with_related(at, format!("because this prints {wanted}")),
                )
            }
        }
    }
}
