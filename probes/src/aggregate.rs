//! Aggregates: what scripts count and measure, by keys.
//!
//! Each vCPU adds to a table of its own, behind a lock that nobody else wants but who prints or
//! empties the aggregate: vCPUs don't wait for each other to count. Whoever looks at the aggregate
//! adds the tables up. `VProbes` keeps average, count, minimum, maximum and the latest value under
//! each key; the other kinds are jitterbug's.

mod cell;
mod key;
mod print;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use cell::{Cell, Kind, Linear};
pub use key::Key;
pub(crate) use key::Parts;
pub use table::{Limits, Room, Table};

/// What an aggregate looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// How many integer keys it has.
    pub integers: usize,
    /// How many string keys.
    pub strings: usize,
    /// Whether the guest's stack is a key too, and how many of its frames count.
    pub stack: Option<usize>,
    /// What is kept under a key.
    pub kind: Kind,
}

impl Shape {
    /// The most keys of either type.
    pub const MAX_KEYS: usize = 16;
}

/// An aggregate of all vCPUs.
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
    /// An empty one, which shares its room with others.
    pub fn new(shape: Shape, limits: Limits, room: Room) -> Self {
        Self { shape, limits, room, parts: Mutex::default() }
    }

    /// What it looks like.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A new table, for a vCPU to add to.
    pub fn part(&self) -> Part {
        let table = Table::new(self.shape.kind, self.limits, self.room.clone());
        let part = Part::new(Mutex::new(table));
        lock(&self.parts).push(Arc::clone(&part));
        part
    }

    /// Everything under all keys, in the order of the keys.
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

    /// Shows each key, taken apart, and what is under it.
    pub(crate) fn each(&self, mut show: impl FnMut(&Parts, &Cell)) {
        self.merged().iter().for_each(|(key, cell)| show(&Parts::of(&self.shape, key), cell));
    }

    /// What is under one key.
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

    /// It as `logaggr` prints it, line by line. What was not yet printed is marked as printed.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        for part in lock(&self.parts).iter() {
            lock(part).mark_printed();
        }
        print::lines(&self.shape, &self.merged())
    }

    /// Whether something was added since it was last printed.
    pub fn has_news(&self) -> bool {
        lock(&self.parts).iter().any(|part| lock(part).has_news())
    }

    /// Empties it.
    pub fn clear(&self) {
        for part in lock(&self.parts).iter() {
            lock(part).clear();
        }
    }

    /// How many values there was no room for.
    pub fn dropped(&self) -> u64 {
        lock(&self.parts).iter().map(|part| lock(part).dropped()).sum()
    }
}

/// A thread that panicked here left at worst one value out.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
