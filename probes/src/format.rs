//! The formats of printf, which VP and Emmett share.

mod parse;
mod write;

use std::fmt;

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

/// Displays the conversion as it is written in a format.
impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("%")?;
        for (flag, is_set) in [("-", self.left), ("0", self.zero), ("#", self.alternate)] {
            f.write_str(if is_set { flag } else { "" })?;
        }
        if self.width > 0 {
            write!(f, "{}", self.width)?;
        }
        f.write_str(match self.bits {
            8 => "hh",
            16 => "h",
            _ => "",
        })?;
        f.write_str(match self.kind {
            Kind::Signed => "d",
            Kind::Unsigned => "u",
            Kind::Hex => "x",
            Kind::UpperHex => "X",
            Kind::Octal => "o",
            Kind::Pointer => "p",
            Kind::Character => "c",
            Kind::Text => "s",
        })
    }
}

/// Text as it is written in a format, where `%` stands for itself only if it is doubled.
pub(crate) fn escaped(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'%')))
        .collect()
}

#[cfg(test)]
mod tests;
