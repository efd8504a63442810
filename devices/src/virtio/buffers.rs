//! The buffers of a request: pieces of guest memory that are read or written like one.

use smallvec::SmallVec;

use super::ram::Ram;

/// A piece of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    address: u64,
    length: u32,
}

/// Pieces of guest memory, one after the other. A driver may divide a request among buffers as it
/// likes (2.7.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Buffers {
    pieces: SmallVec<[Piece; 4]>,
    length: u64,
}

impl Buffers {
    /// Appends a piece.
    pub(super) fn push(&mut self, address: u64, length: u32) {
        self.pieces.push(Piece { address, length });
        self.length += u64::from(length);
    }

    /// The number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Fills `data` from the bytes at offset `from`. False if there are not enough, or if a piece
    /// is not in memory.
    pub(super) fn read(&self, ram: &impl Ram, from: u64, data: &mut [u8]) -> bool {
        let length = data.len();
        self.each(from, length, |address, part| ram.read(address, &mut data[part]))
    }

    /// Writes `data` over the bytes at offset `from`. False if there are not enough, or if a piece
    /// is not in memory.
    pub(super) fn write(&self, ram: &impl Ram, from: u64, data: &[u8]) -> bool {
        self.each(from, data.len(), |address, part| ram.write(address, &data[part]))
    }

    /// Calls `copy` with the address of each piece of the range, and its place in the range.
    fn each(
        &self,
        from: u64,
        length: usize,
        mut copy: impl FnMut(u64, std::ops::Range<usize>) -> bool,
    ) -> bool {
        let mut skip = from;
        let mut done = 0;
        for piece in &self.pieces {
            let inside = u64::from(piece.length).saturating_sub(skip);
            let part = inside.min((length - done) as u64) as usize;
            if part > 0 {
                let Some(address) = piece.address.checked_add(skip) else { return false };
                if !copy(address, done..done + part) {
                    return false;
                }
                done += part;
            }
            skip = skip.saturating_sub(u64::from(piece.length));
        }
        done == length
    }
}

#[cfg(test)]
#[path = "buffers_tests.rs"]
mod tests;
