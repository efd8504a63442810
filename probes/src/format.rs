//! The formats of printf, which VP and Emmett share.

mod parse;
mod write;

pub use parse::{FormatError, Part, parse};

/// The argument that a conversion takes, and how it is printed.
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
    /// The argument that it takes, and how it is printed.
    pub kind: Kind,
    /// `-`: pads on the right.
    pub left: bool,
    /// `0`: pads with zeros after sign and prefix.
    pub zero: bool,
    /// `#`: `0x` before hexadecimal, `0` before octal.
    pub alternate: bool,
    /// The smallest number of bytes that are printed.
    pub width: u8,
    /// How many low bits of the integer are printed: 64, 16 with `h`, or 8 with `hh`. Every integer
    /// has 64 bits, so `l` and `ll` have no effect, and `%d` doesn't cut off at 32 bits.
    pub bits: u8,
}

impl Conversion {
    /// A conversion without flags, width or size.
    pub fn plain(kind: Kind) -> Self {
        Self { kind, left: false, zero: false, alternate: false, width: 0, bits: 64 }
    }

    /// The argument that it takes, in words for messages.
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
