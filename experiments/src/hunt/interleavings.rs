//! Counts different interleavings in bounded memory.

use std::collections::HashSet;

/// The maximum number of hashes that are kept. As many fit into a table of 2^20 places, which is at
/// most 7/8 full and takes 9 MiB. One table larger, a search that has run for half an hour would
/// suddenly need 9 MiB more.
const MAX_HASHES: usize = 900_000;

/// The hashes of the runs so far. Above [`MAX_HASHES`], only hashes that end in a certain number of
/// zero bits are kept, and the total is estimated from them (Wegman's adaptive sampling: within
/// about 0.2 %).
#[derive(Debug)]
pub(super) struct Interleavings {
    hashes: HashSet<u64>,
    mask: u64,
    max_hashes: usize,
}

impl Default for Interleavings {
    fn default() -> Self {
        Self { hashes: HashSet::new(), mask: 0, max_hashes: MAX_HASHES }
    }
}

impl Interleavings {
    /// Adds the hash of a run. Returns whether it is new; `None` if it is not in the sample that is
    /// kept.
    pub(super) fn add(&mut self, hash: u64) -> Option<bool> {
        if hash & self.mask != 0 {
            return None;
        }
        let new = self.hashes.insert(hash);
        while self.hashes.len() > self.max_hashes {
            self.mask = self.mask << 1 | 1;
            let mask = self.mask;
            // A table from which hashes are removed one by one keeps their places, and would grow.
            let kept: Vec<u64> = self.hashes.drain().filter(|hash| hash & mask == 0).collect();
            self.hashes.extend(kept);
        }
        Some(new)
    }

    /// How many different interleavings there were.
    pub(super) fn count(&self) -> u64 {
        (self.hashes.len() as u64).saturating_mul(self.mask + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    fn hash(number: u64) -> u64 {
        let mut hasher = twox_hash::XxHash64::with_seed(0);
        hasher.write(&number.to_le_bytes());
        hasher.finish()
    }

    #[test]
    fn few_are_counted_exactly() {
        let mut seen = Interleavings::default();
        let new = (0..1000).filter(|number| seen.add(hash(number % 300)) == Some(true)).count();
        assert_eq!((new, seen.count()), (300, 300));
    }

    #[test]
    fn many_are_estimated_in_bounded_memory() {
        let mut seen = Interleavings { max_hashes: 4096, ..Interleavings::default() };
        for number in 0..300_000 {
            seen.add(hash(number));
            assert!(seen.hashes.len() <= 4096);
        }
        assert!((285_000..315_000).contains(&seen.count()), "{}", seen.count());
        let before = seen.count();
        assert!((0..300_000).all(|number| seen.add(hash(number)) != Some(true)));
        assert_eq!(seen.count(), before);
    }

    #[test]
    fn the_table_has_a_last_size() {
        const PLACES: usize = 1 << 20;
        let mut seen = Interleavings::default();
        for number in 0..3_000_000 {
            seen.add(hash(number));
        }
        let capacity = seen.hashes.capacity();
        assert!((MAX_HASHES..PLACES).contains(&capacity), "{capacity}");
    }
}
