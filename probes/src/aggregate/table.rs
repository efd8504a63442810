//! The part of an aggregate that belongs to one vCPU.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use foldhash::fast::RandomState;

use super::{Cell, Kind};

/// Limits on the size of aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most keys of one aggregate on one vCPU.
    pub keys: usize,
    /// The most bytes of keys and cells, of one aggregate on one vCPU.
    pub bytes: usize,
    /// The most bytes of all aggregates on all vCPUs together.
    pub total: usize,
}

impl Default for Limits {
    /// 10,000 keys and 8 MiB for each aggregate and vCPU; 256 MiB in total.
    fn default() -> Self {
        Self { keys: 10_000, bytes: 8 << 20, total: 256 << 20 }
    }
}

/// How many more bytes all tables together may use.
#[derive(Clone, Debug)]
pub struct Room(Arc<AtomicUsize>);

impl Room {
    /// The full limit, before any table has used any of it.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(AtomicUsize::new(limits.total)))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Relaxed);
    }
}

/// The cells of one vCPU, by key.
#[derive(Debug)]
pub struct Table {
    kind: Kind,
    limits: Limits,
    room: Room,
    cells: HashMap<Box<[u8]>, Cell, RandomState>,
    bytes: usize,
    dropped: u64,
    has_news: bool,
}

impl Table {
    /// An empty table.
    pub fn new(kind: Kind, limits: Limits, room: Room) -> Self {
        let cells = HashMap::default();
        Self { kind, limits, room, cells, bytes: 0, dropped: 0, has_news: false }
    }

    /// Adds a value; `false` if the table is too full for a new key.
    pub fn add(&mut self, key: &[u8], value: u64, stamp: u64) -> bool {
        if let Some(cell) = self.cells.get_mut(key) {
            cell.add(value, stamp);
            self.has_news = true;
            return true;
        }
        self.insert(key, value, stamp)
    }

    #[cold]
    fn insert(&mut self, key: &[u8], value: u64, stamp: u64) -> bool {
        let size = key.len() + self.cell_bytes();
        if self.cells.len() >= self.limits.keys
            || self.bytes + size > self.limits.bytes
            || !self.room.take(size)
        {
            self.dropped += 1;
            return false;
        }
        self.bytes += size;
        let mut cell = Cell::new(self.kind);
        cell.add(value, stamp);
        self.cells.insert(key.into(), cell);
        self.has_news = true;
        true
    }

    fn cell_bytes(&self) -> usize {
        let buckets = match self.kind {
            Kind::Histogram => 65,
            Kind::Linear(linear) => linear.intervals() as usize + 2,
            _ => 0,
        };
        size_of::<Cell>() + buckets * size_of::<u64>()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Cell> {
        self.cells.get(key)
    }

    pub(super) fn each(&self, mut call: impl FnMut(&[u8], &Cell)) {
        self.cells.iter().for_each(|(key, cell)| call(key, cell));
    }

    pub(super) fn clear(&mut self) {
        self.cells.clear();
        self.room.give_back(self.bytes);
        self.bytes = 0;
        self.has_news = false;
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    pub(super) fn mark_printed(&mut self) {
        self.has_news = false;
    }
}
