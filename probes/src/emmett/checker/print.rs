//! Checks printf and related functions: the format against the arguments.

use super::super::tree::{Expression, Kind};
use super::Checker;
use super::expression::Target;
use super::value::Value;
use crate::diagnostic::Diagnostic;
use crate::format::{self, Conversion, Part};
use crate::front::problems::Mark;
use crate::ir::{self, Integer, Piece, Statement};
use crate::source::Span;

impl Checker<'_> {
    pub(super) fn printf(&mut self, arguments: &[Expression], span: Span) -> Option<Value> {
        let pieces = self.pieces("printf", arguments, span)?;
        Value::number(Integer::Print(pieces))
    }

    pub(super) fn sprintf(&mut self, arguments: &[Expression], span: Span) -> Option<Value> {
        let [target, rest @ ..] = arguments else {
            return self.arity("sprintf", "a string variable and a format", span);
        };
        let Target::Str(target) = self.target(target)? else {
            return self.wrong(target.span, "this is an integer", "expected a string variable");
        };
        let pieces = self.pieces("sprintf", rest, span)?;
        Value::number(Integer::Format(target, pieces))
    }

    /// `assert(condition, "format", ...)`: if the condition is 0, prints the place and the optional
    /// message, and cancels the firing.
    pub(super) fn assert(&mut self, arguments: &[Expression], span: Span) -> Option<Value> {
        let [condition, message @ ..] = arguments else {
            return self.arity("assert", "a condition, and a format if you like", span);
        };
        let condition = self.integer(condition);
        let place = span.location(self.sources);
        let mut pieces = vec![Piece::Literal(format!("{place}: assertion failed").into_bytes())];
        if !message.is_empty() {
            pieces.push(Piece::Literal(b": ".to_vec()));
            pieces.extend(self.pieces("assert", message, span)?);
        }
        if !matches!(pieces.last(), Some(Piece::Literal(text)) if text.ends_with(b"\n")) {
            pieces.push(Piece::Literal(b"\n".to_vec()));
        }
        let print = Statement::Evaluate(ir::Expression::Integer(Integer::Print(pieces)));
        let failed = vec![print, Statement::Raise(self.place(span))];
        Some(Value::Nothing(vec![Statement::If(condition?, Vec::new(), failed)]))
    }

    /// `logstr` and `logint`.
    pub(super) fn log(
        &mut self,
        name: &str,
        arguments: &[Expression],
        span: Span,
        is_text: bool,
    ) -> Option<Value> {
        let [value] = arguments else { return self.arity(name, "one value", span) };
        let piece = if is_text {
            Piece::Str(Conversion::plain(format::Kind::Text), self.text(value)?)
        } else {
            Piece::Integer(Conversion::plain(format::Kind::Unsigned), self.integer(value)?)
        };
        Value::number(Integer::Print(vec![piece]))
    }

    fn pieces(&mut self, name: &str, arguments: &[Expression], span: Span) -> Option<Vec<Piece>> {
        let [Expression { kind: Kind::Text(literal), span: at, .. }, rest @ ..] = arguments else {
            let at = arguments.first().map_or(span, |first| first.span);
            let problem = format!("{name}'s format must be a literal");
            return self.fail(
                Diagnostic::error(at, problem, "expected a string in double quotes")
                    .with_help("print a string variable by printf(\"%s\", variable)"),
            );
        };
        self.checked(literal, *at)?;
        let place = |start, end| literal.span(at.source, start, end);
        let parts = match format::parse(&literal.value) {
            Ok(parts) => parts,
            Err(error) => {
                let at = place(error.at.start, error.at.end);
                return self.fail(
                    Diagnostic::error(at, error.message, "expected another conversion")
                        .with_help(error.help),
                );
            }
        };
        let mut rest = rest.iter();
        let mut pieces = Vec::with_capacity(parts.len());
        let mut complete = true;
        for part in parts {
            let (conversion, at) = match part {
                Part::Literal(text) => {
                    pieces.push(Piece::Literal(text.into_bytes()));
                    continue;
                }
                Part::Argument(conversion, at) => (conversion, place(at.start, at.end)),
            };
            let Some(argument) = rest.next() else {
                let label = format!("expected {} behind the format", conversion.wanted());
                return self.wrong(at, "this conversion has no argument", &label);
            };
            let before = self.problems.mark();
            if let Some(piece) = self.piece(conversion, argument) {
                pieces.push(piece);
            } else {
                complete = false;
                self.explain(before, at, conversion);
            }
        }
        if let Some(extra) = rest.next() {
            let problem = format!("{name} has an argument that its format doesn't print");
            return self.wrong(extra.span, problem, "expected a conversion for this in the format");
        }
        complete.then_some(pieces)
    }

    fn piece(&mut self, conversion: Conversion, argument: &Expression) -> Option<Piece> {
        if conversion.takes_text() {
            return self.text(argument).map(|text| Piece::Str(conversion, text));
        }
        self.integer(argument).map(|integer| Piece::Integer(conversion, integer))
    }

    /// Adds the place of the conversion to the error about an argument that doesn't fit it.
    fn explain(&mut self, before: Mark, at: Span, conversion: Conversion) {
        if let Some(last) = self.problems.only_since(before)
            && last.related.is_none()
            && last.label == format!("expected {}", conversion.wanted())
        {
            last.related = Some((at, format!("because this prints {}", conversion.wanted())));
        }
    }
}
