//! The variables of a run: those that were known before it, and those that are found meanwhile.

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use vmm::hook::{Access, Values, Watch};

/// A variable whose accesses are delayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name, or its address if it has none.
    pub name: String,
    /// Its linear address.
    pub linear: u64,
    /// Where it is in guest-physical memory.
    pub physical: Range<u64>,
}

impl Variable {
    /// What a machine has to watch. Values are not asked for, so that data watchpoints can do it.
    pub fn watch(&self) -> Watch {
        Watch {
            physical: self.physical.clone(),
            linear: Some(self.linear),
            loads: true,
            stores: true,
            values: Values::Unused,
        }
    }

    /// Its linear addresses.
    pub(super) fn range(&self) -> Range<u64> {
        self.linear..self.linear + (self.physical.end - self.physical.start)
    }
}

/// Where a found variable belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// The module that contains it; `None` for the kernel itself.
    pub(super) module: Option<String>,
}

/// A variable with a number that never means another.
#[derive(Clone, Debug)]
struct Entry {
    variable: Variable,
    /// `None` if it was known before the run.
    home: Option<Home>,
    /// A variable that is gone stays in the list, for the races that were found.
    is_watched: bool,
}

/// All variables of a run.
#[derive(Debug, Default)]
pub(super) struct Variables(RwLock<Vec<Entry>>);

/// A watched variable that an access has touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TouchedVariable {
    pub(super) number: usize,
    /// Where a found variable is and belongs, to be compared with the guest's memory; `None` if it
    /// was known before the run.
    pub(super) found: Option<(Range<u64>, Range<u64>, Home)>,
}

impl Variables {
    /// Begins with those that are known before the run.
    pub(super) fn of(known: &[Variable]) -> Self {
        let entry = |variable: &Variable| Entry {
            variable: variable.clone(),
            home: None,
            is_watched: true,
        };
        Self(RwLock::new(known.iter().map(entry).collect()))
    }

    /// Adds one that was found. Returns its number.
    pub(super) fn add(&self, variable: Variable, home: Home) -> usize {
        let mut entries = self.write();
        entries.push(Entry { variable, home: Some(home), is_watched: true });
        entries.len() - 1
    }

    /// Notes that a variable is gone: no access touches it any more.
    pub(super) fn forget(&self, number: usize) {
        if let Some(entry) = self.write().get_mut(number) {
            entry.is_watched = false;
        }
    }

    /// The variables that an access touches, by ascending numbers.
    pub(super) fn touched(&self, access: &Access) -> Vec<TouchedVariable> {
        let entries = self.read();
        let touches = |entry: &Entry| entry.is_watched && access.touches(&entry.variable.physical);
        let touched = entries.iter().enumerate().filter(|(_, entry)| touches(entry));
        let noted = touched.map(|(number, Entry { variable, home, .. })| {
            let place = |home| (variable.range(), variable.physical.clone(), home);
            TouchedVariable { number, found: home.clone().map(place) }
        });
        noted.collect()
    }

    /// The name of a variable that is watched and begins at the same byte.
    pub(super) fn at(&self, physical: &Range<u64>) -> Option<String> {
        let entries = self.read();
        let is_there =
            |entry: &&Entry| entry.is_watched && entry.variable.physical.start == physical.start;
        entries.iter().find(is_there).map(|entry| entry.variable.name.clone())
    }

    /// All, by their numbers.
    pub(super) fn all(&self) -> Vec<Variable> {
        self.read().iter().map(|entry| entry.variable.clone()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
