//! Searches the console output as its bytes are printed.

use super::{Criteria, Criterion, Met, Pattern};

/// The state of the searches in a console: some words for each pattern, independent of the length
/// of a line. It is plain data: a snapshot of a machine contains a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleMatcher {
    /// The searches for failure come first: if the same byte completes both, the run has failed.
    searches: Vec<Search>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Search {
    pattern: Pattern,
    failed: bool,
    /// The piece of the pattern that is searched for; the pieces before it have been found in this
    /// line.
    piece: usize,
    /// Bit n: the line so far may end with the first n + 1 bytes of this piece.
    partial: u128,
}

impl ConsoleMatcher {
    /// Searches for the patterns of these criteria.
    pub fn new(criteria: &Criteria) -> Self {
        let search = |failed| {
            move |pattern: &Pattern| Search {
                pattern: pattern.clone(),
                failed,
                piece: 0,
                partial: 0,
            }
        };
        let fail = criteria.fail.iter().map(search(true));
        Self { searches: fail.chain(criteria.ok.iter().map(search(false))).collect() }
    }

    /// Processes the next bytes of output. Returns the first criterion that is met.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Met> {
        bytes.iter().find_map(|byte| {
            // Every search has to see the byte, whether another one has succeeded or not.
            let met = self.searches.iter_mut().filter_map(|search| search.feed(*byte));
            met.fold(None, |first, met| first.or(Some(met)))
        })
    }
}

impl Search {
    fn feed(&mut self, byte: u8) -> Option<Met> {
        if byte == b'\n' {
            (self.piece, self.partial) = (0, 0);
            return None;
        }
        // Taking the earliest match of each piece leaves the longest rest of the line for the
        // following pieces.
        self.partial = (self.partial << 1 | 1) & self.pattern.places(self.piece, byte);
        if self.partial >> (self.pattern.length(self.piece) - 1) & 1 == 0 {
            return None;
        }
        (self.piece, self.partial) = (self.piece + 1, 0);
        if self.piece < self.pattern.pieces() {
            return None;
        }
        self.piece = 0;
        Some(Met { failed: self.failed, by: Criterion::Console(self.pattern.clone()) })
    }
}
