//! Splits the text of a VP script into tokens.

use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::source::{Literal, Span};

/// The longest name. It has 64 bytes in `VProbes`, which counted the terminating NUL.
pub const MAX_NAME: usize = 63;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// A number, name or operator.
    Atom(String),
    /// A string.
    Literal(Literal),
}

/// Displays the token with its kind.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("sign       ("),
            Self::Close => f.write_str("sign       )"),
            Self::Atom(atom) => write!(f, "atom       {atom}"),
            Self::Literal(literal) => write!(f, "string     {literal}"),
        }
    }
}

/// All tokens of a script.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The tokens, each with its place, up to the first error.
    pub list: Vec<(Token, Span)>,
    /// The first error. The parser reports it only if the tokens before it are a beginning of a
    /// script.
    pub error: Option<Box<Diagnostic>>,
    /// The end of the script.
    pub end: Span,
}

/// Splits the text of script number `source`.
pub fn lex(source: u32, text: &str) -> Tokens {
    let lexer = Lexer::new(source, text);
    let end = lexer.end();
    let mut list = Vec::new();
    let mut error = None;
    for token in lexer {
        match token {
            Ok(token) => list.push(token),
            Err(found) => error = Some(found),
        }
    }
    Tokens { list, error, end }
}

/// The lexer of one script.
pub struct Lexer<'a> {
    source: u32,
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// A lexer for `text`, which is script number `source`.
    pub fn new(source: u32, text: &'a str) -> Self {
        // Editors on Windows begin files with a byte order mark.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, text, at }
    }

    /// The end of the script, as a place in it.
    pub fn end(&self) -> Span {
        Span::new(self.source, self.text.len(), self.text.len())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, start: usize) -> Span {
        Span::new(self.source, start, self.at)
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.trim_start();
            self.at += rest.len() - blanks.len();
            if !blanks.starts_with(';') {
                return;
            }
            self.at += blanks.find('\n').unwrap_or(blanks.len());
        }
    }

    fn literal(&mut self, start: usize) -> Result<Token, Box<Diagnostic>> {
        let mut value = String::new();
        let mut offsets = Vec::new();
        let mut characters = self.rest().char_indices();
        while let Some((offset, character)) = characters.next() {
            let at = self.at + offset;
            let character = match character {
                '"' => {
                    offsets.push(at as u32);
                    self.at = at + 1;
                    return Ok(Token::Literal(Literal { value, offsets }));
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, other)) => other,
                    None => break,
                },
                other => other,
            };
            value.push(character);
            offsets.resize(value.len(), at as u32);
        }
        Err(Box::new(Diagnostic::error(
            Span::new(self.source, start, start + 1),
            "this string is never closed",
            "expected a closing \" somewhere behind this one",
        )))
    }

    fn atom(&mut self, start: usize) -> Result<Token, Box<Diagnostic>> {
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | ';');
        let length = rest.find(ends).unwrap_or(rest.len());
        let atom = rest.get(..length).unwrap_or_default();
        self.at += length;
        if let Some(control) = atom.chars().find(|c| c.is_control()) {
            return Err(Box::new(Diagnostic::error(
                self.span(start),
                format!("unexpected control character {}", control.escape_unicode()),
                "expected a name, a number, a string or a parenthesis",
            )));
        }
        if atom.len() > MAX_NAME {
            return Err(Box::new(Diagnostic::error(
                self.span(start),
                format!("this name has {} bytes", atom.len()),
                format!("a name has at most {MAX_NAME} bytes"),
            )));
        }
        Ok(Token::Atom(atom.to_owned()))
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<(Token, Span), Box<Diagnostic>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks();
        let start = self.at;
        let token = match self.rest().chars().next()? {
            '(' => {
                self.at += 1;
                Ok(Token::Open)
            }
            ')' => {
                self.at += 1;
                Ok(Token::Close)
            }
            '"' => {
                self.at += 1;
                self.literal(start)
            }
            _ => self.atom(start),
        };
        if token.is_err() {
            // The text after an invalid token can't be split reliably.
            self.at = self.text.len();
        }
        Some(token.map(|token| (token, self.span(start))))
    }
}

#[cfg(test)]
mod tests;
