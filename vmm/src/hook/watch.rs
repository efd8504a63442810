//! The guest memory that a hook watches.

use std::ops::Range;

/// A range of guest memory whose loads and stores are reported to
/// [`Hook::access`](super::Hook::access), and which details of an access the hook uses. Data
/// watchpoints can't provide all details, so this decides how the range can be watched
/// ([`WatchPlan`](crate::watchpoints::WatchPlan)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The guest-physical range.
    pub physical: Range<u64>,
    /// The linear address at which the guest accesses the range, for watchpoints, which compare
    /// linear addresses; `None` if it isn't known.
    pub linear: Option<u64>,
    /// Whether loads are to be reported.
    pub loads: bool,
    /// Whether stores are to be reported.
    pub stores: bool,
    /// The values that the hook uses.
    pub values: Values,
}

/// The values of an [`Access`](super::Access) that a hook uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Values {
    /// Neither the value nor the one before.
    Unused,
    /// The value, of stores only.
    OfStores,
    /// The value of loads, or the value before a store.
    All,
}

impl From<Range<u64>> for Watch {
    /// All accesses to this guest-physical range, in all details.
    fn from(physical: Range<u64>) -> Self {
        Self { physical, linear: None, loads: true, stores: true, values: Values::All }
    }
}
