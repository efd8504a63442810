//! The patterns that are searched for in console lines.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a line: `*` stands for any number of characters, `?` for one byte, and `\` makes the
/// next character literal. It may be anywhere in the line.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    text: String,
    /// The parts between the `*`, without empty ones.
    pieces: Vec<Vec<Byte>>,
}

/// One position of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Any,
    Is(u8),
}

impl Pattern {
    /// The maximum length of a piece between two `*` in bytes: the number of bits of a search's
    /// state.
    pub const LONGEST_PIECE: usize = u128::BITS as usize;

    /// The pattern as its user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The length of a piece in bytes.
    pub(super) fn length(&self, piece: usize) -> usize {
        self.pieces[piece].len()
    }

    /// The positions at which a piece may have this byte: bit n stands for position n.
    pub(super) fn places(&self, piece: usize, byte: u8) -> u128 {
        let may = |at: &Byte| matches!(at, Byte::Any) || *at == Byte::Is(byte);
        (0..).zip(&self.pieces[piece]).filter(|(_, at)| may(at)).map(|(n, _)| 1_u128 << n).sum()
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['\n', '\r']) {
            return Err("it has a line's end in it, and is looked for within a line".into());
        }
        let mut pieces = vec![Vec::new()];
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                b'?' => Byte::Any,
                b'\\' => match bytes.next() {
                    Some(byte) => Byte::Is(byte),
                    None => return Err(r"it ends with a single \; write \\ for one".into()),
                },
                byte => Byte::Is(byte),
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(byte);
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        if pieces.is_empty() {
            return Err("every line has that in it; give a piece of a line".into());
        }
        if let Some(long) = pieces.iter().find(|piece| piece.len() > Self::LONGEST_PIECE) {
            let most = Self::LONGEST_PIECE;
            return Err(format!("{} bytes without a `*`, and {most} are the most", long.len()));
        }
        Ok(Self { text: text.into(), pieces })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
