//! The compressed names.
//!
//! A name is a length and as many bytes, each of which stands for a token. The first character of
//! the joined tokens is the symbol's type. From 6.1 on, a length with bit 7 set has a second byte,
//! with its upper bits.

use crate::linux::view::Region;

use super::layout::{Layout, Tokens};

/// The longest name (`KSYM_NAME_LEN` without its NUL), and its type.
const MAX_LENGTH: usize = 512;

/// The names, one behind the other.
#[derive(Debug)]
pub(super) struct Names {
    text: String,
    /// Where each name ends.
    ends: Vec<usize>,
}

impl Names {
    /// Reads all names; `None` if they do not agree with their marks and with their place.
    pub(super) fn read(region: &Region, tokens: &Tokens, layout: &Layout) -> Option<Self> {
        const STRIDE: usize = 256;
        let bytes = region.bytes.get(layout.names..layout.marks)?;
        let mut names = Self { text: String::new(), ends: Vec::with_capacity(layout.count) };
        let mut at = 0_usize;
        for number in 0..layout.count {
            let mark = || region.u32(layout.marks + 4 * (number / STRIDE));
            if number.is_multiple_of(STRIDE) && mark()? as usize != at {
                return None;
            }
            let first = *bytes.get(at)?;
            at += 1;
            let mut length = usize::from(first);
            if first & 0x80 != 0 {
                length = (length & 0x7f) | usize::from(*bytes.get(at)?) << 7;
                at += 1;
            }
            let start = names.text.len();
            for &token in bytes.get(at..at.checked_add(length)?)? {
                let text = tokens.texts.get(usize::from(token))?;
                names.text.push_str(std::str::from_utf8(text).ok()?);
                if names.text.len() - start > MAX_LENGTH {
                    return None;
                }
            }
            at += length;
            // The type, and one character at least.
            let kind = names.text.as_bytes().get(start)?;
            if names.text.len() - start < 2 || !kind.is_ascii_alphabetic() {
                return None;
            }
            names.ends.push(names.text.len());
        }
        // The marks follow at the next multiple of 8.
        (at.next_multiple_of(8) == bytes.len()).then_some(names)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A symbol's type and name.
    pub(super) fn get(&self, index: usize) -> Option<(u8, &str)> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        let text = self.text.get(start..*self.ends.get(index)?)?;
        Some((*text.as_bytes().first()?, text.get(1..)?))
    }
}
