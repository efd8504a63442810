//! The text of scripts, and places in it.

use std::fmt;
use std::sync::Arc;

/// The language of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The Lisp-like language.
    Vp,
    /// The C-like language.
    Emmett,
}

/// A script's text and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file name, or the option that holds the script, such as `-e`.
    pub name: String,
    /// The text of the script.
    pub text: String,
}

impl Source {
    /// The longest script that is read, in bytes. The limit in `VProbes` was 64 KiB of code.
    pub const MAX_BYTES: usize = 1 << 20;

    /// A script with this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The script's language. It follows from the name's ending: `.vp` is VP, `.emt` and `.emmett`
    /// are Emmett. Otherwise, a script that begins with a parenthesis or with VP's comment sign is
    /// VP, and any other script is Emmett.
    pub fn language(&self) -> Language {
        match self.name.rsplit_once('.') {
            Some((_, "vp")) => return Language::Vp,
            Some((_, "emt" | "emmett")) => return Language::Emmett,
            _ => {}
        }
        let start = self.text.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with(['(', ';']) { Language::Vp } else { Language::Emmett }
    }

    /// The line and column of a byte offset, both from 1. Columns count characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let bytes = self.text.as_bytes();
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line = before.split(|&byte| byte == b'\n').count();
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        // Counts the first byte of each character. Continuation bytes have the form 0b10xx_xxxx.
        let column = before.iter().skip(start).filter(|&&byte| byte & 0xc0 != 0x80).count() + 1;
        (line, column)
    }
}

/// A range of bytes in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number of the script, among those that were loaded together.
    pub source: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of script number `source`.
    pub fn new(source: u32, start: usize, end: usize) -> Self {
        Self { source, start: start as u32, end: end.max(start) as u32 }
    }

    /// The range from the start of this span to the end of another.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self { end: last.end.max(self.start), ..self }
    }

    /// The line and column of the span's start.
    pub fn location(self, sources: &[Source]) -> Location {
        match sources.get(self.source as usize) {
            Some(source) => {
                let (line, column) = source.position(self.start as usize);
                Location { file: source.name.as_str().into(), line, column }
            }
            None => Location { file: "?".into(), line: 1, column: 1 },
        }
    }
}

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The script's name.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A string with its escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// The string.
    pub value: String,
    /// For each byte of the value, its offset in the source; then the offset of the closing quote.
    pub offsets: Vec<u32>,
}

impl Literal {
    /// A string that is in no script. Bytes that are not UTF-8 are replaced.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { value: String::from_utf8_lossy(bytes).into_owned(), offsets: Vec::new() }
    }

    /// The place in the source of bytes `start..end` of the value.
    pub fn span(&self, source: u32, start: usize, end: usize) -> Span {
        let at = |index: usize| self.offsets.get(index).or(self.offsets.last()).copied();
        let start = at(start).unwrap_or(0);
        Span { source, start, end: at(end).unwrap_or(start).max(start) }
    }
}

/// Displays the literal in double quotes, as both languages read it.
impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.value.chars() {
            match character {
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '"' | '\\' => write!(f, "\\{character}")?,
                other => write!(f, "{other}")?,
            }
        }
        f.write_str("\"")
    }
}
