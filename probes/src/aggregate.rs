//! Aggregates: what scripts count and measure under keys.
//!
//! Each vCPU adds to its own table. The table's lock is contended only while the aggregate is read,
//! printed or cleared, so vCPUs don't wait for each other to count. A reader adds the tables up.
//! `VProbes` keeps average, count, minimum, maximum and the latest value under each key; the other
//! kinds are additions of jitterbug.

mod cell;
mod key;
mod print;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use cell::{Cell, Kind, Linear, Reading};
pub use key::Key;
pub(crate) use key::Parts;
pub use table::{Limits, Room, Table};

/// The definition of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The aggregate's name.
    pub name: String,
    /// The number of integer keys.
    pub integers: usize,
    /// The number of string keys.
    pub strings: usize,
    /// If the guest's stack is a key too, the number of its frames that count.
    pub stack: Option<usize>,
    /// What the aggregate keeps under a key.
    pub kind: Kind,
}

impl Shape {
    /// The most keys of each type.
    pub const MAX_KEYS: usize = 16;
}

/// An aggregate, with the tables of all vCPUs.
#[derive(Debug)]
pub struct Aggregate {
    shape: Shape,
    limits: Limits,
    room: Room,
    parts: Mutex<Vec<Part>>,
}

/// One vCPU's table.
pub type Part = Arc<Mutex<Table>>;

impl Aggregate {
    /// An empty aggregate. It shares its memory limit with others.
    pub fn new(shape: Shape, limits: Limits, room: Room) -> Self {
        Self { shape, limits, room, parts: Mutex::default() }
    }

    /// The aggregate's definition.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A new table, to which one vCPU adds.
    pub fn part(&self) -> Part {
        let table = Table::new(self.shape.kind, self.limits, self.room.clone());
        let part = Part::new(Mutex::new(table));
        lock(&self.parts).push(Arc::clone(&part));
        part
    }

    /// The values under all keys, in the order of the keys.
    pub fn merged(&self) -> BTreeMap<Box<[u8]>, Cell> {
        let mut all: BTreeMap<Box<[u8]>, Cell> = BTreeMap::new();
        for part in lock(&self.parts).iter() {
            lock(part).each(|key, cell| match all.get_mut(key) {
                Some(known) => known.merge(cell),
                None => {
                    all.insert(key.into(), cell.clone());
                }
            });
        }
        all
    }

    /// Calls `show` with each key, split into its parts, and the values under the key.
    pub(crate) fn each(&self, mut show: impl FnMut(&Parts, &Cell)) {
        self.merged().iter().for_each(|(key, cell)| show(&Parts::of(&self.shape, key), cell));
    }

    /// The values under one key.
    pub fn cell(&self, key: &[u8]) -> Option<Cell> {
        let mut found: Option<Cell> = None;
        for part in lock(&self.parts).iter() {
            if let Some(cell) = lock(part).get(key) {
                match &mut found {
                    Some(known) => known.merge(cell),
                    None => found = Some(cell.clone()),
                }
            }
        }
        found
    }

    /// The lines that `logaggr` prints. All values count as printed afterwards.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        for part in lock(&self.parts).iter() {
            lock(part).mark_printed();
        }
        print::lines(&self.shape, &self.merged())
    }

    /// Whether values were added since the aggregate was last printed.
    pub fn has_news(&self) -> bool {
        lock(&self.parts).iter().any(|part| lock(part).has_news())
    }

    /// Empties the aggregate.
    pub fn clear(&self) {
        for part in lock(&self.parts).iter() {
            lock(part).clear();
        }
    }

    /// How many values were dropped because a table was full.
    pub fn dropped(&self) -> u64 {
        lock(&self.parts).iter().map(|part| lock(part).dropped()).sum()
    }
}

/// Locks a mutex. A thread that panicked while it held the lock lost at most one value.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
