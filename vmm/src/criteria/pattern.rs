//! What to look for in a line of a console.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A piece of a line: `*` stands for any number of characters, `?` for one byte, and `\` takes the
/// meaning from the character behind it. It may be anywhere in the line.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    text: String,
    /// What is between the `*`; none is empty.
    pieces: Vec<Vec<Byte>>,
}

/// One place of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Any,
    Is(u8),
}

impl Pattern {
    /// The longest piece between two `*`, in bytes: the bits of a matcher's state.
    pub const LONGEST_PIECE: usize = u128::BITS as usize;

    /// As its user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// How many bytes a piece has.
    pub(super) fn length(&self, piece: usize) -> usize {
        self.pieces[piece].len()
    }

    /// At which of its places a piece may have this byte: bit n is place n.
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
