//! The strings of scripts: at most 255 bytes each.

use std::fmt;

/// A string's value. Bytes that don't fit are cut off, as in `VProbes`. It owns no heap memory, so
/// a firing doesn't allocate for strings.
#[derive(Clone)]
pub struct Text {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl Text {
    /// The most bytes that a string holds.
    pub const MAX: usize = 255;

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Makes the string empty.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends bytes, as many as fit.
    pub fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        let room = self.bytes.get_mut(start..).unwrap_or_default();
        for (slot, byte) in room.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        let end = (start + bytes.len()).min(Self::MAX);
        self.length = end as u8;
    }

    /// Sets the string to these bytes, as many as fit.
    pub fn set(&mut self, bytes: &[u8]) {
        self.clear();
        self.push(bytes);
    }

    /// Copies another string, moving only the bytes that are in use.
    pub fn assign(&mut self, other: &Self) {
        self.set(other.as_bytes());
    }
}

impl Default for Text {
    fn default() -> Self {
        Self { length: 0, bytes: [0; Self::MAX] }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        let mut text = Self::default();
        text.push(bytes);
        text
    }
}
