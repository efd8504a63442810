//! What the engines of all vCPUs share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::changes::Changes;
use super::{Budget, Reported};
use crate::aggregate::{Aggregate, Limits, Part, Room, lock};
use crate::bag::Bag;
use crate::code::Code;
use crate::symbols::Symbols;

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The host's clock.
    #[default]
    Host,
    /// The machine's own time, counted from this point of the day, so that a run can be repeated.
    Machine {
        /// Time since 1970 at the machine's start.
        start: Duration,
    },
}

impl Clock {
    /// Microseconds since 1970, at this time of the machine.
    pub fn microseconds(self, now: Duration) -> u64 {
        let time = match self {
            // A host whose clock stands before 1970 has no better answer.
            Self::Host => SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            Self::Machine { start } => start.saturating_add(now),
        };
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }
}

/// How a script runs in a machine.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What a firing may use.
    pub budget: Budget,
    /// What an aggregate may hold.
    pub limits: Limits,
    /// Where the time comes from.
    pub clock: Clock,
    /// The guest's symbols.
    pub symbols: Option<Arc<Symbols>>,
    /// What delays are drawn from.
    pub seed: u64,
}

/// A script's global state in one machine.
#[derive(Debug)]
pub struct Shared {
    pub(super) settings: Settings,
    pub(super) reported: Reported,
    pub(super) unloaded: AtomicBool,
    pub(super) changes: Mutex<Changes>,
    /// The variables that all vCPUs share.
    pub(super) integers: Vec<AtomicU64>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) bags: Vec<Mutex<Bag>>,
}

impl Shared {
    /// The state before the first firing.
    pub fn new(code: &Code, settings: Settings) -> Self {
        let room = Room::new(settings.limits);
        let aggregate = |shape: &crate::aggregate::Shape| {
            Aggregate::new(shape.clone(), settings.limits, room.clone())
        };
        Self {
            reported: Reported::new(code),
            unloaded: AtomicBool::new(false),
            changes: Mutex::default(),
            integers: code.shared_integers.iter().copied().map(AtomicU64::new).collect(),
            aggregates: code.aggregates.iter().map(aggregate).collect(),
            bags: code.bags.iter().map(|bag| Mutex::new(Bag::new(bag.capacity))).collect(),
            settings,
        }
    }

    /// A table of each aggregate for one more vCPU.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.aggregates.iter().map(Aggregate::part).collect()
    }

    /// The aggregates, in the order of their definition.
    pub fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }

    /// The guest's symbols.
    pub fn symbols(&self) -> Option<&Symbols> {
        self.settings.symbols.as_deref()
    }

    /// What the script did to the guest so far.
    pub fn changes(&self) -> Changes {
        lock(&self.changes).clone()
    }

    /// How many pairs each bag had no room for.
    pub fn refused(&self) -> impl Iterator<Item = u64> {
        self.bags.iter().map(|bag| lock(bag).refused())
    }
}
