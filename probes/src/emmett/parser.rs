//! Builds the tree of an Emmett script from its tokens.

mod declaration;
mod expression;
mod statement;

use std::collections::HashSet;

use inspect::suggest::nearest;

use super::lexer::{Placed, Token};
use super::tree::{Directive, Item, Probe};
use crate::diagnostic::Diagnostic;
use crate::front::foreign;
use crate::source::{Literal, Span};

/// The deepest nesting of any kind. It bounds the stack depth of everything that walks the tree.
pub const MAX_DEPTH: u16 = 100;

/// Names declared by `typedef`. The parser needs them to distinguish `(t)x` from `(v)`.
pub type TypeNames = HashSet<String>;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Parses the items of a script. Type names that the script declares are added to `names`.
pub fn parse(tokens: Vec<Placed>, names: &mut TypeNames) -> Result<Vec<Item>> {
    let end =
        tokens.last().map_or(Span::new(0, 0, 0), |(_, span)| Span { start: span.end, ..*span });
    let mut parser = Parser { tokens, at: 0, end, names, depth: 0, in_predicate: false };
    let mut items = Vec::new();
    while parser.peek().is_some() {
        if !parser.skip(";") {
            items.push(parser.item()?);
        }
    }
    Ok(items)
}

struct Parser<'a> {
    tokens: Vec<Placed>,
    at: usize,
    /// The place after the last token.
    end: Span,
    names: &'a mut TypeNames,
    depth: u16,
    /// Whether a `/` ends the expression.
    in_predicate: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.peek_at(0)
    }

    fn peek_at(&self, distance: usize) -> Option<&Token> {
        self.tokens.get(self.at + distance).map(|(token, _)| token)
    }

    /// The place of the next token.
    fn span(&self) -> Span {
        self.tokens.get(self.at).map_or(self.end, |(_, span)| *span)
    }

    /// The place of the token that was read last.
    fn last(&self) -> Span {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map_or(self.end, |(_, span)| *span)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == word)
    }

    fn skip(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.skip(sign) { Ok(()) } else { self.unexpected(&format!("expected {sign}")) }
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let message = match self.peek() {
            None => "the script ends here".to_owned(),
            Some(token) => format!("unexpected {}", describe(token)),
        };
        let error = Diagnostic::error(self.span(), message, expected);
        Err(Box::new(if self.is("@") { error.with_help(foreign::AGGREGATE) } else { error }))
    }

    #[allow(clippy::unused_self)] // for symmetry with `unexpected`
    fn error<T>(&self, span: Span, message: impl Into<String>, label: &str) -> Result<T> {
        Err(Box::new(Diagnostic::error(span, message, label)))
    }

    fn name(&mut self, expected: &str) -> Result<(String, Span)> {
        match self.tokens.get(self.at) {
            Some((Token::Name(name), span)) => {
                let found = (name.clone(), *span);
                self.at += 1;
                Ok(found)
            }
            _ => self.unexpected(expected),
        }
    }

    /// Reads adjacent string literals as one string.
    fn literal(&mut self) -> Option<(Literal, Span)> {
        let (Token::Text(first), span) = self.tokens.get(self.at)? else { return None };
        let (mut literal, mut span) = (first.clone(), *span);
        self.at += 1;
        while let Some((Token::Text(next), at)) = self.tokens.get(self.at) {
            literal.offsets.pop();
            literal.value.push_str(&next.value);
            literal.offsets.extend_from_slice(&next.offsets);
            if at.source == span.source {
                span = span.to(*at);
            }
            self.at += 1;
        }
        Some((literal, span))
    }

    /// Runs `inner` at one more level of nesting.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return self.error(self.span(), "this is nested too deep", "at most 100 levels");
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn item(&mut self) -> Result<Item> {
        self.refuse_keyword()?;
        if self.is("@") {
            return self.at_directive();
        }
        let start = self.span();
        if self.is_word("memmodel") && matches!(self.peek_at(1), Some(Token::Name(_))) {
            self.at += 1;
            let (value, _) = self.name("expected a memory model such as guest64")?;
            self.expect(";")?;
            let span = start.to(self.last());
            return Ok(Item::Directive(Directive {
                name: "memmodel".into(),
                value: Some(value),
                span,
            }));
        }
        if self.starts_declaration() {
            return self.declaration_or_function();
        }
        match self.tokens.get(self.at) {
            Some((Token::Name(name) | Token::Point(name), span)) => {
                let (name, span) = (name.clone(), *span);
                self.at += 1;
                self.probe(name, span).map(Item::Probe)
            }
            _ => self.unexpected("expected a declaration, a function or a probe"),
        }
    }

    fn at_directive(&mut self) -> Result<Item> {
        let start = self.span();
        self.expect("@")?;
        let (name, _) = self.name("expected a directive such as @MEMORY_MODEL = guest64")?;
        let mut value = None;
        if self.skip("=") {
            let token = self.tokens.get(self.at).map(|(token, _)| token);
            value = match token {
                Some(Token::Name(text) | Token::Point(text)) => Some(text.clone()),
                Some(Token::Number(number)) => Some(number.to_string()),
                Some(Token::Text(text)) => Some(text.value.clone()),
                _ => return self.unexpected("expected a value"),
            };
            self.at += 1;
        }
        self.skip(";");
        Ok(Item::Directive(Directive { name, value, span: start.to(self.last()) }))
    }

    fn probe(&mut self, point: String, span: Span) -> Result<Probe> {
        let mut parameters = Vec::new();
        // This is a point with arguments, or a function without a result type. A point must have a
        // body, which the rest of this function requires.
        if self.is("(") {
            parameters = self.parameters()?;
        }
        if self.is(":")
            && let Some(here) = foreign::point(&point)
        {
            let label = "expected a probe point such as VMM1Hz, VMM:TIMER:10msec or In";
            let error = Diagnostic::error(span, format!("unknown probe point {point}:..."), label);
            return Err(Box::new(error.with_help(here)));
        }
        let mut predicate = None;
        if self.skip("/") {
            self.in_predicate = true;
            let expression = self.expression();
            self.in_predicate = false;
            predicate = Some(expression?);
            self.expect("/")?;
        }
        if self.peek().is_none() || self.is(";") {
            let near = nearest(&point, super::vocabulary::keywords());
            let label = "expected a statement behind the probe point";
            let error = Diagnostic::error(span, format!("{point} has nothing to do"), label);
            return Err(Box::new(error.suggesting(near)));
        }
        let body = self.statement()?;
        Ok(Probe { point, span, parameters, predicate, body })
    }
}

/// What a token is, in words for messages.
fn describe(token: &Token) -> String {
    match token {
        Token::Name(name) | Token::Point(name) => name.clone(),
        Token::Number(_) => "number".into(),
        Token::Text(_) => "string".into(),
        Token::Sign(sign) => (*sign).to_owned(),
        Token::Directive(word) => format!("#{word}"),
        Token::EndOfDirective => "end of line".into(),
    }
}

#[cfg(test)]
mod tests;
