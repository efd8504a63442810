//! VP's strings: bytes, at most 255 of them.

/// A string variable's value. What doesn't fit is cut off, as `VProbes` did it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    /// The most bytes that a string holds.
    pub const MAX: usize = 255;

    /// An empty string with room for the longest, so that it never allocates again.
    pub fn with_room() -> Self {
        Self(Vec::with_capacity(Self::MAX))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Makes it empty.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends as much as fits.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = Self::MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        let mut text = Self::with_room();
        text.push(bytes);
        text
    }
}
