//! A set of vectors, as in IRR, ISR and TMR.

/// One bit for each of the 256 vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Vectors([u64; 4]);

impl Vectors {
    pub(super) fn contains(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 6)] & bit(vector) != 0
    }

    /// Adds a vector; returns whether it is new.
    pub(super) fn insert(&mut self, vector: u8) -> bool {
        let new = !self.contains(vector);
        self.0[usize::from(vector >> 6)] |= bit(vector);
        new
    }

    pub(super) fn remove(&mut self, vector: u8) {
        self.0[usize::from(vector >> 6)] &= !bit(vector);
    }

    pub(super) fn highest(&self) -> Option<u8> {
        let (index, word) = self.0.iter().enumerate().rfind(|(_, word)| **word != 0)?;
        Some((index as u32 * 64 + word.ilog2()) as u8)
    }

    /// The 32 vectors of the set's register `index`; 0 beyond the last register.
    pub(super) fn register(&self, index: u32) -> u32 {
        let word = self.0.get((index / 2) as usize).copied().unwrap_or(0);
        (word >> (index % 2 * 32)) as u32
    }
}

fn bit(vector: u8) -> u64 {
    1 << (vector & 63)
}
