//! printf's formats, which VP and Emmett share.

mod parse;
mod write;

pub use parse::{FormatError, Part, parse};

/// What a conversion takes and how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `%d`, `%i`: signed decimal.
    Signed,
    /// `%u`: unsigned decimal.
    Unsigned,
    /// `%x`: lower-case hexadecimal.
    Hex,
    /// `%X`: upper-case hexadecimal.
    UpperHex,
    /// `%o`: octal.
    Octal,
    /// `%p`: `0x` and lower-case hexadecimal.
    Pointer,
    /// `%c`: one byte.
    Character,
    /// `%s`: a string.
    Text,
}

/// A conversion with its flags, width and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// What it takes and how it looks.
    pub kind: Kind,
    /// `-`: pads on the right.
    pub left: bool,
    /// `0`: pads with zeros after sign and prefix.
    pub zero: bool,
    /// `#`: `0x` before hexadecimal, `0` before octal.
    pub alternate: bool,
    /// The least number of bytes.
    pub width: u8,
    /// How many bits of the integer count: 64, 16 with `h`, 8 with `hh`. As every integer has 64
    /// bits, `l` and `ll` change nothing and `%d` doesn't cut off at 32.
    pub bits: u8,
}

impl Conversion {
    /// One without flags, width or size.
    pub fn plain(kind: Kind) -> Self {
        Self { kind, left: false, zero: false, alternate: false, width: 0, bits: 64 }
    }

    /// What it takes, in words.
    pub fn wanted(self) -> &'static str {
        if self.takes_text() { "a string" } else { "an integer" }
    }

    /// Whether it takes a string rather than an integer.
    pub fn takes_text(self) -> bool {
        self.kind == Kind::Text
    }
}

#[cfg(test)]
mod tests;
