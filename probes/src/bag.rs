//! Bags: values under integer keys, where one key may have several values.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

/// A bag's contents.
#[derive(Debug)]
pub struct Bag {
    values: HashMap<u64, VecDeque<u64>, RandomState>,
    length: usize,
    capacity: usize,
    refused: u64,
}

impl Bag {
    /// The most pairs that a script may ask for.
    pub const MAX_CAPACITY: u64 = 1 << 20;

    /// An empty bag for this number of pairs.
    pub fn new(capacity: usize) -> Self {
        Self { values: HashMap::default(), length: 0, capacity, refused: 0 }
    }

    /// Adds a pair; `false` if the bag is full.
    pub fn insert(&mut self, key: u64, value: u64) -> bool {
        if self.length >= self.capacity {
            self.refused += 1;
            return false;
        }
        self.length += 1;
        self.values.entry(key).or_default().push_back(value);
        true
    }

    /// Removes and returns the oldest value with this key.
    pub fn remove(&mut self, key: u64) -> Option<u64> {
        let values = self.values.get_mut(&key)?;
        let value = values.pop_front();
        if values.is_empty() {
            self.values.remove(&key);
        }
        self.length -= usize::from(value.is_some());
        value
    }

    /// How many pairs the bag did not take because it was full.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}
