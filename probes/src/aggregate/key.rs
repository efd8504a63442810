//! Keys as bytes, which a table can hash and compare.
//!
//! An integer has 8 bytes. A string has a byte for its length, then its bytes. A stack comes last,
//! with 8 bytes for each frame. Integers are big-endian, so that keys sort by the values of their
//! integers.

use super::Shape;

/// The keys of a value, concatenated.
#[derive(Clone, Debug, Default)]
pub struct Key(Vec<u8>);

impl Key {
    /// Removes all keys.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends an integer key.
    pub fn integer(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Appends a string key, of at most 255 bytes.
    pub fn string(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(..255).unwrap_or(bytes);
        self.0.push(bytes.len() as u8);
        self.0.extend_from_slice(bytes);
    }

    /// Appends a stack, which must be the last key.
    pub fn stack(&mut self, frames: &[u64]) {
        for frame in frames {
            self.integer(*frame);
        }
    }

    /// The bytes of the keys.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A key, split into its parts.
pub(crate) struct Parts<'a> {
    pub(crate) integers: Vec<u64>,
    pub(crate) strings: Vec<&'a [u8]>,
    pub(crate) stack: Option<Vec<u64>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(shape: &Shape, key: &'a [u8]) -> Self {
        let mut rest = key;
        let integers = (0..shape.integers).map_while(|_| integer(&mut rest)).collect();
        let strings = (0..shape.strings).map_while(|_| string(&mut rest)).collect();
        let stack =
            shape.stack.map(|_| std::iter::from_fn(|| integer(&mut rest)).collect::<Vec<_>>());
        Self { integers, strings, stack }
    }
}

fn integer(rest: &mut &[u8]) -> Option<u64> {
    let (first, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u64::from_be_bytes(*first))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, tail) = rest.split_first()?;
    let (string, tail) = tail.split_at_checked(usize::from(length))?;
    *rest = tail;
    Some(string)
}
