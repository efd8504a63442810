//! Looks through a console as its bytes come.

use super::{Criteria, Criterion, Met, Pattern};

/// What has been seen of a console, as far as it decides what is found next: some words for each
/// pattern, however long a line is. It is plain data: a snapshot of a machine has a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleMatcher {
    /// Those of failure first: where both are met by the same byte, the run has failed.
    searches: Vec<Search>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Search {
    pattern: Pattern,
    failed: bool,
    /// The piece of the pattern that is looked for, those before it having been found in this line.
    piece: usize,
    /// Bit n: the line may end with the first n + 1 bytes of that piece.
    partial: u128,
}

impl ConsoleMatcher {
    /// Looks for the patterns of these criteria.
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

    /// Looks at what the guest has printed next. The first criterion that it meets, if any.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Met> {
        bytes.iter().find_map(|byte| {
            // All of them see the byte, whichever is met.
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
        // The earliest place for each piece leaves the most of the line to those behind it.
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
