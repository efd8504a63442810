//! Parses formats.

use std::ops::Range;

use super::{Conversion, Kind};

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that is printed as it is.
    Literal(String),
    /// A conversion, and its range of bytes in the format.
    Argument(Conversion, Range<usize>),
}

/// The error about a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    /// What is wrong.
    pub message: String,
    /// The range of the faulty bytes in the format.
    pub at: Range<usize>,
    /// Advice.
    pub help: &'static str,
}

const CONVERSIONS: &str = "conversions are %d %i %u %x %X %o %p %c %s and %%";

/// Splits a format into literal text and conversions.
pub fn parse(format: &str) -> Result<Vec<Part>, FormatError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = format.char_indices().peekable();
    while let Some((start, character)) = rest.next() {
        if character != '%' {
            literal.push(character);
            continue;
        }
        if rest.next_if(|&(_, next)| next == '%').is_some() {
            literal.push('%');
            continue;
        }
        let tail = format.get(start + 1..).unwrap_or_default();
        let (conversion, length) = conversion(tail).map_err(|problem| problem.at(start))?;
        let end = start + 1 + length;
        while rest.next_if(|&(at, _)| at < end).is_some() {}
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Argument(conversion, start..end));
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// A problem in the `length` bytes after a `%`.
struct Problem {
    message: String,
    length: usize,
    help: &'static str,
}

impl Problem {
    fn at(self, percent: usize) -> FormatError {
        let at = percent..percent + 1 + self.length;
        FormatError { message: self.message, at, help: self.help }
    }
}

/// Parses what follows a `%`, and returns the conversion and its length in bytes.
fn conversion(tail: &str) -> Result<(Conversion, usize), Problem> {
    let bytes = tail.as_bytes();
    let mut at = 0;
    let (mut left, mut zero, mut alternate) = (false, false, false);
    while let Some(flag @ (b'-' | b'0' | b'#')) = bytes.get(at) {
        match flag {
            b'-' => left = true,
            b'0' => zero = true,
            _ => alternate = true,
        }
        at += 1;
    }
    let digits = bytes.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
    let number = tail.get(at..at + digits).unwrap_or_default();
    at += digits;
    let width = if digits == 0 { Ok(0) } else { number.parse::<u8>() };
    let width = width.map_err(|_| Problem {
        message: format!("printf's width {number} is too large"),
        length: at,
        help: "a width is at most 255, the length of a string",
    })?;
    let modifier = bytes.iter().skip(at).take_while(|byte| matches!(byte, b'h' | b'l')).count();
    let bits = match tail.get(at..at + modifier).unwrap_or_default() {
        "" | "l" | "ll" => 64,
        "h" => 16,
        "hh" => 8,
        other => {
            return Err(Problem {
                message: format!("printf has no size {other}"),
                length: at + modifier,
                help: "sizes are l, ll, h and hh; integers have 64 bits without any",
            });
        }
    };
    at += modifier;
    let Some(letter) = tail.get(at..).and_then(|rest| rest.chars().next()) else {
        return Err(Problem {
            message: "the format ends inside a conversion".into(),
            length: at,
            help: "write %% for a percent sign",
        });
    };
    let length = at + letter.len_utf8();
    let kind = kind(letter).map_err(|(message, help)| Problem { message, length, help })?;
    Ok((Conversion { kind, left, zero, alternate, width, bits }, length))
}

fn kind(letter: char) -> Result<Kind, (String, &'static str)> {
    Ok(match letter {
        'd' | 'i' => Kind::Signed,
        'u' => Kind::Unsigned,
        'x' => Kind::Hex,
        'X' => Kind::UpperHex,
        'o' => Kind::Octal,
        'p' => Kind::Pointer,
        'c' => Kind::Character,
        's' => Kind::Text,
        'n' => {
            return Err((
                "printf has no %n: a probe stores nothing through pointers".into(),
                "write \\n for a newline",
            ));
        }
        '*' => return Err(("printf takes no width from an argument".into(), "write the width")),
        '.' => return Err(("printf has no precision".into(), CONVERSIONS)),
        'e' | 'f' | 'g' | 'E' | 'F' | 'G' | 'a' | 'A' => {
            return Err((format!("printf has no %{letter}: there are no floats"), CONVERSIONS));
        }
        other => return Err((format!("printf has no %{}", other.escape_debug()), CONVERSIONS)),
    })
}
