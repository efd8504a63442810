//! Splits the text of an Emmett script into tokens.

use std::fmt;

use crate::diagnostic::Diagnostic;
use crate::front::foreign;
use crate::source::{Literal, Span};

/// The longest name. It has 64 bytes in `VProbes`, which counted the terminating NUL.
pub const MAX_NAME: usize = 63;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name or keyword; `nt!Symbol` is one name.
    Name(String),
    /// A point whose name contains colons, such as `GUEST:ENTER:main`.
    Point(String),
    /// A number or a character in single quotes.
    Number(u64),
    /// A string.
    Text(Literal),
    /// An operator or a bracket.
    Sign(&'static str),
    /// `#define` and similar; the tokens of its line follow, up to [`Token::EndOfDirective`].
    Directive(&'static str),
    /// The end of a directive's line.
    EndOfDirective,
}

/// A token with its place in the script.
pub type Placed = (Token, Span);

/// Displays the token with its kind.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "name       {name}"),
            Self::Point(name) => write!(f, "point      {name}"),
            Self::Number(value) => write!(f, "number     {value}"),
            Self::Text(literal) => write!(f, "string     {literal}"),
            Self::Sign(sign) => write!(f, "sign       {sign}"),
            Self::Directive(word) => write!(f, "directive  #{word}"),
            Self::EndOfDirective => f.write_str("end of directive"),
        }
    }
}

/// Operators and brackets, the longest first.
const SIGNS: &[&str] = &[
    "<<=", ">>=", "...", "->", "<-", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||",
    "+=", "-=", "*=", "/=", "%=", "&=", "^=", "|=", "{", "}", "(", ")", "[", "]", ";", ",", ":",
    "?", ".", "@", "+", "-", "*", "/", "%", "<", ">", "=", "!", "~", "&", "|", "^",
];

/// The words that make a line which begins with `#` a directive. Any other line that begins with
/// `#` is a comment, as in the first dialect.
const DIRECTIVES: &[&str] =
    &["define", "undef", "include", "ifdef", "ifndef", "if", "elif", "else", "endif", "error"];

/// The words that, before a colon, begin the name of a point.
const DOMAINS: &[&str] = &[
    "GUEST",
    "GUEST_READ",
    "GUEST_WRITE",
    "MSR_Read",
    "MSR_Write",
    "VMM",
    "VMX",
    "VMK",
    "MONITOR",
    "POSIX",
    "USEC",
    "VMKERNEL",
    "VMKERNEL_RET",
    "VMKERNEL_DYN",
    "VMKERNEL_STEP",
];

/// Splits the text of script number `source` into its tokens.
pub fn lex(source: u32, text: &str) -> Result<Vec<Placed>> {
    Lexer::new(source, text).collect()
}

/// The lexer of one script.
pub struct Lexer<'a> {
    source: u32,
    text: &'a str,
    at: usize,
    /// Whether no token precedes on this line.
    fresh: bool,
    in_directive: bool,
}

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

impl<'a> Lexer<'a> {
    /// A lexer for `text`, which is source number `source`.
    pub fn new(source: u32, text: &'a str) -> Self {
        // Editors on Windows begin files with a byte order mark.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { source, text, at, fresh: true, in_directive: false }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn span(&self, start: usize) -> Span {
        Span::new(self.source, start, self.at)
    }

    fn error<T>(&self, start: usize, message: impl Into<String>, label: &str) -> Result<T> {
        Err(Box::new(Diagnostic::error(self.span(start), message, label)))
    }

    /// Skips blanks and comments; `true` if that ends at the end of a directive's line.
    fn skip(&mut self) -> Result<bool> {
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Ok(false) };
            if rest.starts_with("\\\n") || rest.starts_with("\\\r\n") {
                self.at += rest.find('\n').map_or(1, |end| end + 1);
            } else if first == '\n' {
                if self.in_directive {
                    return Ok(true);
                }
                self.at += 1;
                self.fresh = true;
            } else if first.is_whitespace() {
                self.at += first.len_utf8();
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let start = self.at;
                let Some(end) = rest.find("*/") else {
                    self.at += 2;
                    return self.error(
                        start,
                        "this comment is never closed",
                        "expected a */ behind this",
                    );
                };
                self.at += end + 2;
            } else if first == '#' && !self.is_directive() {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                return Ok(false);
            }
        }
    }

    /// The word of the directive that begins here.
    fn directive(&self) -> Option<&'static str> {
        let rest = self.rest().strip_prefix('#')?.trim_start_matches([' ', '\t']);
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = rest.get(..length)?;
        DIRECTIVES.iter().copied().find(|directive| *directive == word)
    }

    fn is_directive(&self) -> bool {
        self.fresh && !self.in_directive && self.directive().is_some()
    }

    fn token(&mut self, start: usize) -> Result<Option<Token>> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        if first == '#'
            && let Some(word) = self.directive()
        {
            let skipped = rest.find(word).unwrap_or(1);
            self.at += skipped + word.len();
            (self.in_directive, self.fresh) = (true, false);
            return Ok(Some(Token::Directive(word)));
        }
        self.fresh = false;
        if first.is_ascii_alphabetic() || matches!(first, '_' | '~' if is_name(first, rest)) {
            return self.name(start).map(Some);
        }
        if first.is_ascii_digit() {
            return self.number(start).map(Some);
        }
        if first == '"' {
            self.at += 1;
            return self.literal(start).map(Some);
        }
        if first == '\'' {
            return self.character(start).map(Some);
        }
        if let Some(sign) =
            SIGNS.iter().find(|sign| sign.starts_with(first) && rest.starts_with(**sign))
        {
            self.at += sign.len();
            return Ok(Some(Token::Sign(sign)));
        }
        self.at += first.len_utf8();
        let problem = format!("unexpected character {}", first.escape_debug());
        let label = "expected a name, a number, a string or an operator";
        let error = Diagnostic::error(self.span(start), problem, label);
        Err(Box::new(if first == '$' { error.with_help(foreign::VARIABLE) } else { error }))
    }

    fn name(&mut self, start: usize) -> Result<Token> {
        let rest = self.rest();
        let mut length = word(rest);
        // `nt!Symbol` is one name, but `a!=b` is not.
        let tail = rest.get(length..).unwrap_or_default();
        if let Some(symbol) = tail.strip_prefix('!')
            && symbol.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        {
            length += 1 + word(symbol);
        }
        let name = rest.get(..length).unwrap_or_default();
        self.at += length;
        if DOMAINS.contains(&name) && self.rest().starts_with(':') {
            let rest = self.rest();
            let ends =
                |c: char| c.is_whitespace() || matches!(c, '(' | '{' | '/' | ';' | ',' | '"');
            let tail = rest.find(ends).unwrap_or(rest.len());
            self.at += tail;
            let point = self.text.get(start..self.at).unwrap_or_default();
            return Ok(Token::Point(point.to_owned()));
        }
        if name.len() > MAX_NAME {
            let problem = format!("this name has {} bytes", name.len());
            return self.error(start, problem, "a name has at most 63 bytes");
        }
        Ok(Token::Name(name.to_owned()))
    }

    fn number(&mut self, start: usize) -> Result<Token> {
        let rest = self.rest();
        let length = word(rest);
        let text = rest.get(..length).unwrap_or_default();
        self.at += length;
        let digits = text.trim_end_matches(['u', 'U', 'l', 'L']);
        let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let value = match hex {
            Some(digits) => u64::from_str_radix(digits, 16),
            None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8),
            None => digits.parse(),
        };
        match value {
            Ok(value) => Ok(Token::Number(value)),
            Err(_) => self.error(
                start,
                format!("{text} is no number"),
                "expected a 64-bit integer, decimal, with 0x, or octal with 0",
            ),
        }
    }

    fn escape(characters: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
        Some(match characters.next()?.1 {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            other => other,
        })
    }

    fn literal(&mut self, start: usize) -> Result<Token> {
        let mut value = String::new();
        let mut offsets = Vec::new();
        let mut characters = self.rest().char_indices();
        while let Some((offset, character)) = characters.next() {
            let at = self.at + offset;
            let character = match character {
                '"' => {
                    offsets.push(at as u32);
                    self.at = at + 1;
                    return Ok(Token::Text(Literal { value, offsets }));
                }
                '\\' => match Self::escape(&mut characters) {
                    Some(character) => character,
                    None => break,
                },
                '\n' => break,
                other => other,
            };
            value.push(character);
            offsets.resize(value.len(), at as u32);
        }
        self.at = start + 1;
        self.error(start, "this string is never closed", "expected a closing \" on this line")
    }

    fn character(&mut self, start: usize) -> Result<Token> {
        let mut characters = self.rest().char_indices().skip(1);
        let value = match characters.next() {
            Some((_, '\\')) => Self::escape(&mut characters),
            Some((_, '\'')) | None => None,
            Some((_, other)) => Some(other),
        };
        if let (Some(value), Some((end, '\''))) = (value, characters.next()) {
            self.at += end + 1;
            return Ok(Token::Number(u64::from(u32::from(value))));
        }
        self.at += 1;
        self.error(start, "this is no character", "expected one character and a closing '")
    }
}

/// Whether the `_` or `~` here begins a name. Names that the Emmett compiler makes begin with `~`;
/// any other `~` is an operator.
fn is_name(first: char, rest: &str) -> bool {
    first == '_' || rest.starts_with("~plocal") || rest.starts_with("~tmp")
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$').unwrap_or(text.len())
}

impl Iterator for Lexer<'_> {
    type Item = Result<(Token, Span)>;

    fn next(&mut self) -> Option<Self::Item> {
        let ended = match self.skip() {
            Ok(ended) => ended,
            Err(error) => {
                self.at = self.text.len();
                return Some(Err(error));
            }
        };
        let start = self.at;
        if ended || self.in_directive && self.rest().is_empty() {
            self.in_directive = false;
            return Some(Ok((Token::EndOfDirective, self.span(start))));
        }
        match self.token(start) {
            Ok(None) => None,
            Ok(Some(token)) => Some(Ok((token, self.span(start)))),
            Err(error) => {
                // The text after an invalid token can't be split reliably.
                (self.at, self.in_directive) = (self.text.len(), false);
                Some(Err(error))
            }
        }
    }
}
